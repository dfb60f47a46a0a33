"""What is recommended, and what is said where nothing fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptmill.errors import ConfigurationError
from promptmill.files import write_json
from promptmill.fitting.advice import PoolFit, Wish, shell_lines
from promptmill.fitting.pools import Pool, find_pools
from promptmill.fitting.report import FitReport, fit_report, workload_of
from promptmill.fitting.speed import Speed, duration_of, measured_speed, walltime_seconds
from promptmill.hardware import Hardware
from promptmill.placing.memory import GIB, Workload
from tests.fit.models import published

WORKLOAD = Workload(256, 256)


def report(
    model: str, *gpus: str, partition: str | None = None, pools: tuple[Pool, ...] = (), **wish: object
) -> FitReport:
    """What is said of a named model on such GPUs."""
    found = pools or find_pools(gpus, partition)[0]
    return fit_report(published(model), found, WORKLOAD, 16, Wish(model, **wish))  # type: ignore[arg-type]


def chosen(found: FitReport) -> tuple[str, str, int | None]:
    """GPU type, quantization and GPUs a copy of what is recommended."""
    assert found.choice is not None
    return found.choice.pool.gpu, found.choice.fit.quantization, found.choice.fit.gpus


def test_a_model_that_fits_with_room_is_not_quantised() -> None:
    """Quantisation changes what is generated."""
    assert chosen(report("llama-2-7b", "RTX 6000:2")) == ("Quadro RTX 6000", "none", 1)


def test_two_rows_at_a_time_are_no_batch() -> None:
    """Llama-2-7b fits one T4 unquantised with room for 2 rows; over two of them there is plenty."""
    alone = report("llama-2-7b", "T4")
    assert chosen(alone) == ("T4", "8bit", 1)
    assert alone.command[-5:] == ("--quantization", "8bit", "--batch-size", "23", "--local-scheduler")


def test_of_several_types_the_one_with_the_least_quantisation_and_gpus_is_taken() -> None:
    """An A100 holds a whole copy of 13b, T4s only halves."""
    assert chosen(report("llama-2-13b", "T4:6", "A100-40:2")) == ("A100-40GB", "none", 1)


def test_a_partition_is_submitted_to() -> None:
    """With GPUs a task, and the user's own settings."""
    found = report(
        "llama-2-13b", "RTX 6000:4", partition="gpu", prompts="my prompts.jsonl", samples_per_prompt=4,
        max_new_tokens=64, time="4:00:00", revision="abc", data_dir="elsewhere",
    )  # fmt: skip
    assert found.command == (
        "luigi", "--module", "workflows", "SubmitDataset", "--model", "llama-2-13b", "--revision", "abc",
        "--prompts", "my prompts.jsonl", "--samples-per-prompt", "4", "--max-new-tokens", "64",
        "--quantization", "none", "--batch-size", str(found.choice and found.choice.fit.rows), "--partition", "gpu",
        "--gpus-per-task", "2", "--time", "4:00:00", "--data-dir", "elsewhere", "--local-scheduler",
    )  # fmt: skip


def test_one_machine_gets_a_process_a_copy() -> None:
    """And says how many GPUs a copy takes where it is more than one."""
    command = report("llama-2-70b", "A100-80:4").command
    assert command[command.index("--gpus-per-copy") + 1] == "2"
    assert command[command.index("--workers") + 1] == "2"


def test_where_nothing_fits_there_is_a_next_smaller_thing_to_do() -> None:
    """More GPUs, a larger one, a smaller model, offloading, an endpoint."""
    found = report("llama-2-70b", "T4:2")
    assert (found.choice, found.command) == (None, ())
    said = "\n".join(found.steps)
    assert "3 × T4" in said
    assert "an A100-40GB" in said
    assert "a smaller model: up to about" in said
    assert "--offload cpu" in said
    assert "--engine endpoint" in found.steps[-1]


def test_gpus_of_the_table_alone_are_not_recommended() -> None:
    """Nobody has them; the CPU is here, or nothing is."""
    listed = Pool("H100", find_pools(["H100:8"], None)[0][0].hardware, listed=True)
    cpu = Pool("CPU", Hardware((), 2, 20 * GIB), here=True)
    assert chosen(report("gpt2", pools=(listed, cpu))) == ("CPU", "none", 0)
    assert report("llama-2-70b", pools=(listed, cpu)).choice is None


def test_gpus_that_promptmill_cannot_use_are_not_recommended() -> None:
    """The sums are shown, and what to do instead."""
    found = report("llama-2-7b", "MI300:4")
    assert found.choice is None
    assert "Ask for NVIDIA GPUs" in found.steps[0]
    assert any(one.fit.rows for one in found.fits)


def test_what_is_known_to_go_wrong_is_said() -> None:
    """Gemma overflows in float16, which is all that a T4 has."""
    assert any("overflow" in warning for warning in report("gemma-2b", "T4:2").warnings)


def test_a_command_is_broken_before_its_options() -> None:
    """Every line fits, and a shell reads it as one command."""
    import shlex

    command = ["luigi", "--module", "workflows", "BuildDataset", "--model", "a b", *["--prompts", "x" * 30] * 3]
    lines = shell_lines(command).split(" \\\n")
    assert max(map(len, lines)) <= 78
    assert shlex.split(" ".join(lines)) == command


def test_rows_are_as_long_as_is_asked_for() -> None:
    """Cut to the model where nothing is said, refused where it is too much."""
    model = published("gpt2")
    assert workload_of(model, None, 256).positions == 512
    assert workload_of(model, None, 2000).positions == 1024
    assert workload_of(model, 1024, 256) == Workload(768, 256)
    assert workload_of(model, 100, 256) == Workload(50, 50)
    with pytest.raises(ConfigurationError, match="Choose --context 1024 or less"):
        workload_of(model, 2048, 256)


def _choice(gpu: str = "T4:6", partition: str | None = None) -> PoolFit:
    found = report("llama-2-7b", gpu, partition=partition).choice
    assert found is not None
    return found


def test_time_is_tokens_through_copies_and_walltimes() -> None:
    """1,000 rows × 256 tokens at 100 tokens/s, six at a time: 427 s; each job has 315 of its 360 s to work."""
    choice = _choice()
    assert choice.copies == 6
    found = duration_of(choice, rows=1000, new_tokens=256, speed=Speed(100.0, "as given"), walltime=360)
    assert found.tokens == 256_000
    assert found.seconds == pytest.approx(426.7, abs=0.1)
    assert found.starts == 2
    assert duration_of(choice, rows=1, new_tokens=1, speed=None, walltime=60).starts is None
    with pytest.raises(ConfigurationError, match="no time at all"):
        walltime_seconds("0")


def test_an_earlier_run_on_such_hardware_tells_the_speed(tmp_path: Path) -> None:
    """Of the same model, quantization and GPU type; the driver's name for it is another one."""
    choice = _choice()
    run = tmp_path / "runs" / "earlier"
    decision = {"quantization": choice.fit.quantization, "gpus_per_copy": 1, "hardware": "2xtesla-t4"}
    write_json(run / "run.json", {"settings": {"model": "llama-2-7b"}})
    write_json(run / "placement-2xtesla-t4.json", {"decision": decision, "measured": {"tokens_per_second": 321.0}})
    found = measured_speed(tmp_path, "llama-2-7b", choice)
    assert found is not None
    assert (found.tokens_per_second, "the run earlier" in found.source) == (321.0, True)
    assert measured_speed(tmp_path, "gpt2", choice) is None
    assert measured_speed(tmp_path, "llama-2-7b", _choice("RTX 6000:1")) is None
    assert measured_speed(tmp_path / "nowhere", "llama-2-7b", choice) is None
