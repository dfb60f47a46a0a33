"""The benchmark for GPUs runs where there is none, at small size."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_for_gpus_runs_on_a_cpu() -> None:
    """Each way, plain and quantised, with a speed; memory is measured on a GPU alone."""
    options = "--device cpu --models tiny --quantizations none 4bit --prompts 8 --tokens 4 --rounds 1"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *options.split()],
        cwd=Path(__file__).parents[1],
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
