"""The decision, against a table worked out by hand.

    parameters      float16        8bit        4bit    KV cache, 512 positions, one row
    gpt2     0.12 B    237 MiB     156 MiB     117 MiB     18 MiB  (12 layers × 2 × 768 × 2 bytes = 36 KiB a token)
    7b       6.74 B 12,852 MiB   6,681 MiB   3,686 MiB    256 MiB  (32 × 2 × 4,096 × 2 = 512 KiB)
    13b     13.02 B 24,825 MiB  12,733 MiB   6,868 MiB    400 MiB  (40 × 2 × 5,120 × 2 = 800 KiB)
    70b     68.98 B   131,562 MiB   66,308 MiB   34,679 MiB    160 MiB  (80 × 2 × 8 heads × 128 × 2 = 320 KiB)
    mixtral 46.70 B    89,078 MiB  – its experts are fused tensors that bitsandbytes leaves alone –

Usable is 95 % of what is free: 14,250 MiB of a T4, 22,800 of an RTX 6000, 38,000 of an A100-40. 500 MiB go
to the CUDA context, and for one row some 150 to 600 MiB to computing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptmill.errors import ConfigurationError, EngineError
from promptmill.hardware import Hardware
from promptmill.placing.decide import decide
from promptmill.placing.decision import Decision
from promptmill.placing.memory import GIB, MIB, Workload
from promptmill.placing.options import PlacementOptions
from tests.placing.models import HOST, MACHINES, case_of, gpus, machine, rtx6000, skeleton_named, t4

NOTHING = None
REFUSED = "bitsandbytes cannot"
EVERYWHERE = {"1×T4": (1, 1), "6×T4": (1, 6), "2×RTX 6000": (1, 2), "4×A100-40": (1, 4), "mixed": (1, 4)}

# model, quantization → machine → (GPUs a copy, copies), a kind of offload, or nothing
TABLE: dict[tuple[str, str], dict[str, object]] = {
    ("gpt2", "none"): dict(EVERYWHERE),
    ("gpt2", "8bit"): dict(EVERYWHERE),
    ("gpt2", "4bit"): dict(EVERYWHERE),
    # 12,852 + 500 + a row's 256 + 150 = 13,758 of 14,250: one T4 just holds it.
    ("llama-2-7b", "none"): dict(EVERYWHERE),
    ("llama-2-7b", "8bit"): dict(EVERYWHERE),
    ("llama-2-7b", "4bit"): dict(EVERYWHERE),
    # 24,825 is more than a T4 or an RTX 6000, less than two; an A100 holds it. One T4: 11 GiB to the host.
    ("llama-2-13b", "none"): {
        "1×T4": "cpu-offload",
        "6×T4": (2, 3),
        "2×RTX 6000": (2, 1),
        "4×A100-40": (1, 4),
        "mixed": (2, 1),
    },
    # 12,733 + 500 + 400 + 230 = 13,863 of 14,250.
    ("llama-2-13b", "8bit"): dict(EVERYWHERE),
    ("llama-2-13b", "4bit"): dict(EVERYWHERE),
    # 131,562: 6 T4 have 85,500 less what is needed beside, and the host 57 GiB more; 4 A100 have 152,000.
    # 1 T4 or 2 RTX 6000 or the mixed node (74,100) with the host's 58,982 are too small.
    ("llama-2-70b", "none"): {
        "1×T4": NOTHING,
        "6×T4": "cpu-offload",
        "2×RTX 6000": NOTHING,
        "4×A100-40": (4, 1),
        "mixed": NOTHING,
    },
    # 66,308: 5 T4 have 71,250, but less 5 × 0.9 GiB of context and computing: 6. 2 A100 have 76,000.
    ("llama-2-70b", "8bit"): {
        "1×T4": NOTHING,
        "6×T4": (6, 1),
        "2×RTX 6000": NOTHING,
        "4×A100-40": (2, 2),
        "mixed": (4, 1),
    },
    # 34,679 + 1,250: 3 T4 (42,750), 2 RTX 6000 (45,600), 1 A100 (38,000).
    ("llama-2-70b", "4bit"): {
        "1×T4": NOTHING,
        "6×T4": (3, 2),
        "2×RTX 6000": (2, 1),
        "4×A100-40": (1, 4),
        "mixed": (2, 1),
    },
    # 89,078 is more than 85,500 of 6 T4, or 45,600, or 74,100; 3 A100 have 114,000. With the host's 58,982: 1 T4 not.
    ("mixtral-8x7b", "none"): {
        "1×T4": NOTHING,
        "6×T4": "cpu-offload",
        "2×RTX 6000": "cpu-offload",
        "4×A100-40": (3, 1),
        "mixed": "cpu-offload",
    },
    ("mixtral-8x7b", "8bit"): dict.fromkeys(MACHINES, REFUSED),
    ("mixtral-8x7b", "4bit"): dict.fromkeys(MACHINES, REFUSED),
}
ROWS = [(model, bits, name) for (model, bits), row in TABLE.items() for name in row]

# What `auto` comes to: the least that fits GPUs, and where nothing does, host memory.
AUTO = {
    ("llama-2-7b", "1×T4"): "none",
    ("llama-2-13b", "1×T4"): "8bit",
    ("llama-2-13b", "6×T4"): "none",
    ("llama-2-70b", "6×T4"): "8bit",
    ("llama-2-70b", "2×RTX 6000"): "4bit",
    ("llama-2-70b", "4×A100-40"): "none",
    ("llama-2-70b", "1×T4"): None,
    ("mixtral-8x7b", "4×A100-40"): "none",
    ("mixtral-8x7b", "6×T4"): "none",
}


def _outcome(model: str, quantization: str, name: str) -> object:
    try:
        decision = decide(case_of(model, machine(name), quantization))
    except ConfigurationError:
        return REFUSED
    if decision is None:
        return NOTHING
    if "offload" in decision.kind:
        return decision.kind
    assert decision.kind == ("one-gpu" if decision.gpus_per_copy == 1 else "several-gpus")
    return decision.gpus_per_copy, decision.copies


@pytest.mark.parametrize(("model", "quantization", "name"), ROWS)
def test_models_go_where_the_table_says(model: str, quantization: str, name: str) -> None:
    """Each model on each machine in each quantization."""
    assert _outcome(model, quantization, name) == TABLE[model, quantization][name]


@pytest.mark.parametrize(("model", "name"), AUTO)
def test_auto_takes_the_least_quantisation_that_fits(model: str, name: str) -> None:
    """More GPUs a copy come before more quantisation, and both before offloading."""
    decision = decide(case_of(model, machine(name)), auto=True)
    assert (decision.quantization if decision else None) == AUTO[model, name]


@pytest.mark.parametrize(("model", "quantization", "name"), ROWS)
def test_a_plan_stays_within_what_is_usable(model: str, quantization: str, name: str) -> None:
    """On each GPU, weights and batch and context together; and the needs of one row are less."""
    if TABLE[model, quantization][name] in (NOTHING, REFUSED):
        return
    decision = _decided(model, name, quantization)
    sums = decision.arithmetic
    assert len(sums.planned) == len(sums.usable) == len(decision.needs) == decision.gpus_per_copy
    assert all(
        need <= plan <= usable for need, plan, usable in zip(decision.needs, sums.planned, sums.usable, strict=True)
    )


@pytest.mark.parametrize("name", ["6×T4", "4×A100-40"])
def test_no_layer_is_cut_in_two(name: str) -> None:
    """A decoder layer is on one device as a whole, and every parameter is on some."""
    decision = _decided("llama-2-70b", name, "none")
    names = [name for name, _ in decision.device_map]
    assert not [name for name in names if name.startswith("model.layers.") and name.count(".") > 2]
    parameters = [name for name, _ in skeleton_named("llama-2-70b").model.named_parameters()]
    assert all(any(parameter == key or parameter.startswith(f"{key}.") for key in names) for parameter in parameters)


def test_turing_computes_in_float16_and_ampere_in_bfloat16() -> None:
    """A T4 and an RTX 6000 are Turing; a node with both kinds does what all can."""
    found = {name: _decided("gpt2", name, "4bit").dtype for name in MACHINES}
    assert found == {
        "1×T4": "float16",
        "6×T4": "float16",
        "2×RTX 6000": "float16",
        "4×A100-40": "bfloat16",
        "mixed": "float16",
    }


def test_a_batch_is_what_the_memory_left_holds() -> None:
    """Llama-2-7b on a T4: (14,250 − 12,852 − 500 − 2 rows' computing) / 256 MiB a row is 2 rows; 4-bit gives 34."""
    assert _decided("llama-2-7b", "1×T4", "none").batch_size == 2
    four = _decided("llama-2-7b", "1×T4", "4bit")
    left = 14_250 * MIB - four.arithmetic.weights - four.arithmetic.context - four.arithmetic.working
    assert four.batch_size == left // (256 * MIB) == 34


def test_free_memory_counts_and_not_total() -> None:
    """A GPU that somebody else fills half is half a GPU."""
    half = tuple(replace(gpu, free_bytes=gpu.free_bytes // 2) for gpu in t4(1))
    hardware = Hardware(half, cores=8, host_bytes=HOST)
    decision = decide(case_of("llama-2-7b", hardware))
    assert decision is not None
    assert decision.kind == "cpu-offload"


def test_one_copy_over_gpus_says_that_they_take_turns() -> None:
    """A plain warning of what it costs."""
    (warning, *_) = _decided("llama-2-13b", "2×RTX 6000", "none").warnings
    assert "one after the other" in warning


def test_offloading_says_what_a_step_costs() -> None:
    """Llama-2-13b on a T4 leaves some 11 GiB in host memory: a second a step on PCIe 3.0."""
    warnings = " ".join(_decided("llama-2-13b", "1×T4", "none").warnings)
    assert "in host memory" in warnings
    assert "s a step on PCIe 3.0" in warnings


def test_disk_offload_has_to_be_allowed() -> None:
    """`--offload disk` puts 70b on a T4, with host memory and disk; without, nothing does."""
    decision = decide(case_of("llama-2-70b", machine("1×T4"), options=PlacementOptions(offload="disk")))
    assert decision is not None
    assert decision.kind == "disk-offload"
    assert {device for _, device in decision.device_map} == {0, "cpu", "disk"}
    assert decide(case_of("llama-2-13b", machine("1×T4"), options=PlacementOptions(offload="none"))) is None


def test_quantised_layers_are_never_offloaded() -> None:
    """transformers would keep offloaded layers unquantised, which would change the bytes of the dataset."""
    allowed = PlacementOptions(offload="disk")
    assert decide(case_of("llama-2-70b", machine("1×T4"), "4bit", options=allowed)) is None


def test_gpus_per_copy_overrides() -> None:
    """Two GPUs a copy although one would do, or one although it does not fit."""
    two = decide(case_of("llama-2-7b", machine("6×T4"), options=PlacementOptions(gpus_per_copy=2)))
    assert two is not None
    assert (two.gpus_per_copy, two.copies) == (2, 3)
    one = PlacementOptions(gpus_per_copy=1, offload="none")
    assert decide(case_of("llama-2-13b", machine("6×T4"), options=one)) is None


def test_max_memory_overrides() -> None:
    """10 GiB a GPU: Llama-2-7b no longer fits one T4, but two."""
    decision = decide(case_of("llama-2-7b", machine("6×T4"), options=PlacementOptions.parsed(max_memory="10GiB")))
    assert decision is not None
    assert decision.gpus_per_copy == 2
    assert max(decision.arithmetic.planned) <= 10 * GIB


def test_device_map_overrides() -> None:
    """Taken as it is given, with the batch that it leaves room for; refused if it does not fit."""
    by_hand = '{"model.embed_tokens": 0, "model.layers": 0, "model.rotary_emb": 0, "model.norm": 1, "lm_head": 1}'
    decision = decide(case_of("llama-2-7b", machine("6×T4"), options=PlacementOptions.parsed(device_map=by_hand)))
    assert decision is not None
    assert dict(decision.device_map)["lm_head"] == 1
    assert decision.gpus_per_copy == 2
    assert decide(case_of("llama-2-13b", machine("6×T4"), options=PlacementOptions.parsed(device_map="cuda:0"))) is None


def test_a_gpu_machine_can_be_told_to_use_the_cpu() -> None:
    """`--device-map cpu` is the user's own word, no fall-back."""
    options = PlacementOptions.parsed(device_map="cpu")
    decision = decide(case_of("gpt2", machine("1×T4"), dtype="float32", options=options))
    assert decision is not None
    assert (decision.kind, decision.gpus_per_copy, decision.needs) == ("cpu", 0, ())


def test_a_cpu_holds_what_its_memory_holds() -> None:
    """float32 on a CPU; what is too large goes to disk if allowed."""
    small = Hardware((), cores=4, host_bytes=16 * GIB)
    on_cpu = decide(case_of("gpt2", small))
    assert on_cpu is not None
    assert (on_cpu.kind, on_cpu.dtype, on_cpu.hardware) == ("cpu", "float32", "cpu")
    assert decide(case_of("llama-2-7b", small)) is None
    on_disk = decide(case_of("llama-2-7b", small, options=PlacementOptions(offload="disk")))
    assert on_disk is not None
    assert on_disk.kind == "disk-offload"


def test_gemma_in_float16_is_warned_of() -> None:
    """Trained in bfloat16, it overflows in float16; on Ampere nothing is said."""
    assert any("overflow" in warning for warning in _decided("gemma-2b", "1×T4", "none").warnings)
    assert not _decided("gemma-2b", "4×A100-40", "none").warnings


def test_bfloat16_on_turing_is_an_error_and_no_fall_back() -> None:
    """The message names the GPU and what to do."""
    with pytest.raises(ConfigurationError, match="Tesla T4 has none"):
        case_of("gpt2", machine("1×T4"), dtype="bfloat16")


def test_8bit_needs_turing_and_4bit_pascal() -> None:
    """A V100 (7.0) has no integer tensor cores; the error says what it can do, and auto leaves 8bit out."""
    v100 = Hardware(gpus(1, "Tesla V100", 16_000, (7, 0)), cores=8, host_bytes=HOST)
    with pytest.raises(EngineError, match="Choose --quantization none or 4bit"):
        decide(case_of("llama-2-7b", v100, "8bit"))
    decision = decide(case_of("llama-2-13b", v100), auto=True)
    assert decision is not None
    assert decision.quantization == "4bit"


def test_a_long_prompt_among_short_ones_bounds_no_batch() -> None:
    """Rows are planned for nine of ten prompts; the longest only has to fit alone."""
    mostly = Workload(prompt_tokens=64, new_tokens=64, longest_prompt=3_000)
    short = decide(case_of("llama-2-7b", machine("2×RTX 6000"), workload=mostly))
    all_long = decide(case_of("llama-2-7b", machine("2×RTX 6000"), workload=Workload(3_000, 64)))
    assert short is not None
    assert all_long is not None
    assert short.batch_size > 10 * all_long.batch_size


def test_idle_gpus_are_mentioned() -> None:
    """Llama-2-70b in 8bit takes two of three A100s."""
    hardware = Hardware(MACHINES["4×A100-40"][:3], cores=8, host_bytes=HOST)
    decision = decide(case_of("llama-2-70b", hardware, "8bit"))
    assert decision is not None
    assert any("1 of 3 GPUs stay unused" in warning for warning in decision.warnings)


def test_a_mixed_node_counts_the_gpus_that_hold_a_copy() -> None:
    """A model for 24 GB uses the two RTX 6000 and leaves the T4s."""
    hardware = Hardware((*t4(2), *rtx6000(2)), cores=8, host_bytes=HOST)
    decision = decide(case_of("phi-3-mini", hardware, dtype="float32"))
    assert decision is not None
    assert (decision.gpus_per_copy, decision.copies) == (1, 2)


def test_a_decision_survives_json() -> None:
    """Written down and read again it is the same."""
    import json

    decision = _decided("llama-2-70b", "6×T4", "4bit")
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


def _decided(model: str, name: str, quantization: str) -> Decision:
    decision = decide(case_of(model, machine(name), quantization))
    assert decision is not None
    return decision
