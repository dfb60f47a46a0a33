"""All benchmarks are run by `make bench`; the one for GPUs runs where there is none, at small size."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS

FOLDER = Path(__file__).parents[1] / "benchmarks"
BY_THEMSELVES = {"__main__", "gpu", "vllm_cpu", "vllm_engine"}
"""What wants a GPU or an environment of its own."""


def test_make_bench_runs_every_script() -> None:
    """None is forgotten; a name that there is not is answered with those that there are."""
    scripts = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text()}
    assert set(BENCHMARKS) == scripts - BY_THEMSELVES
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"], cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no speed; there are memory, overhead," in done.stderr


@pytest.mark.long
def test_the_benchmark_for_gpus_runs_on_a_cpu() -> None:
    """Each way, plain and quantised, with a speed; memory is measured on a GPU alone."""
    options = "--device cpu --models tiny --quantizations none 4bit --prompts 8 --tokens 4 --rounds 1"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *options.split()],
        cwd=FOLDER.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    speeds = re.findall(r"^\| ([^|]+) \| ([\d.,]+) \|", done.stdout, re.MULTILINE)
    assert [name for name, _ in speeds[: len(speeds) // 2]] == [name for name, _ in speeds[len(speeds) // 2 :]]
    assert {name.split(",")[0] for name, _ in speeds} == {
        "one at a time", "generate", "generate_batch (continuous)", "promptmill",
    }  # fmt: skip
    assert all(float(speed.replace(",", "")) > 0 for _, speed in speeds)
