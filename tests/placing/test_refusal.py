"""What does not fit fails with the sizes and the three nearest ways out."""

from __future__ import annotations

import pytest

from promptmill.hardware import Hardware
from promptmill.placing.decide import decide
from promptmill.placing.memory import GIB
from promptmill.placing.options import PlacementOptions
from promptmill.placing.refusal import refusal
from tests.placing.models import HOST, case_of, gpus, machine, t4

# What is asked for, and what the ways out have to name.
REFUSED = [
    ("llama-2-70b", machine("1×T4"), "none", PlacementOptions(), ["--offload disk", "140 GiB", "a smaller model"]),
    (
        "llama-2-13b",
        machine("1×T4"),
        "none",
        PlacementOptions(offload="none"),
        ["--quantization 8bit", "--offload cpu", "2 × Tesla T4"],
    ),
    (
        "llama-2-70b",
        machine("2×RTX 6000"),
        "8bit",
        PlacementOptions(),
        ["--quantization 4bit", "4 × Quadro", "one GPU"],
    ),
    (
        "llama-2-7b",
        machine("6×T4"),
        "none",
        PlacementOptions.parsed(max_memory="1GiB", offload="none"),
        ["leave --device-map, --max-memory", "1 × Tesla T4", "one GPU with 15 GiB, such as a T4"],
    ),
    (
        "llama-2-70b",
        Hardware((), cores=8, host_bytes=32 * GIB),
        "none",
        PlacementOptions(),
        ["--offload disk", "one GPU with 140 GiB", "a smaller model"],
    ),
]


@pytest.mark.parametrize(("model", "hardware", "quantization", "options", "ways"), REFUSED)
def test_the_ways_out_are_the_nearest(
    model: str, hardware: Hardware, quantization: str, options: PlacementOptions, ways: list[str]
) -> None:
    """Options first, then other hardware, then another model; each tried by the same arithmetic."""
    case = case_of(model, hardware, quantization, options=options)
    assert decide(case) is None
    said = str(refusal(case)).splitlines()
    assert [line.strip()[0] for line in said[-3:]] == ["1", "2", "3"]
    for way, line in zip(ways, said[-3:], strict=True):
        assert way in line


def test_the_sizes_are_named() -> None:
    """Weights, a row's KV cache, context; and what each GPU has free of how much."""
    case = case_of("llama-2-13b", machine("6×T4"), options=PlacementOptions.parsed(max_memory="1GiB", offload="none"))
    said = str(refusal(case))
    assert "24.2 GiB of weights (13.02 billion parameters in float16)" in said
    assert "0.4 GiB of KV cache for one row of 512 positions" in said
    assert "6 × Tesla T4 with 14.6 GiB free" in said
    assert "nothing was loaded" in said


def test_shorter_rows_are_a_way_out_where_weights_fit() -> None:
    """A GPU that holds the weights and half a row's cache."""
    hardware = Hardware(gpus(1, "Tesla T4", 14_450, (7, 5)), cores=8, host_bytes=HOST)
    case = case_of("llama-2-7b", hardware, options=PlacementOptions(offload="none"))
    assert decide(case) is None
    assert "--max-new-tokens" in str(refusal(case))


def test_every_refusal_has_three_ways_out() -> None:
    """Even where no option, no larger GPU and no offload helps."""
    case = case_of("llama-2-70b", Hardware(t4(1), cores=1, host_bytes=GIB), options=PlacementOptions(offload="none"))
    assert len([line for line in str(refusal(case)).splitlines() if line.startswith("    ")]) == 3
