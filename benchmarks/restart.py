"""Seconds from the start of a killed run's process to its first newly committed row: `python -m benchmarks.restart`.

The demo model on a CPU; the run is killed when its first rows are committed, and started again. Cold means that
the model's and the libraries' files were dropped from the page cache before. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

PARTS = (
    "imports and checks",
    "loading",
    "laying out, trial of the way",
    "prefill and the first row",
    "all",
    "imports of torch and transformers alone",
)
IMPORTS = "import torch, transformers; from transformers import AutoModelForCausalLM, AutoTokenizer"


def main() -> None:
    """Kill and restart, warm and cold by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a data folder with the converted demo model, to save a minute")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(options.data or folder).absolute()
        times: dict[str, list[list[float]]] = {"warm": [], "cold": []}
        for number in range(options.rounds):
            for state, found in times.items():
                name = f"restart-{os.getpid()}-{number}-{state}"
                _until_first_row(data, name)
                if state == "cold":
                    _drop_from_cache(data / "models", Path(sysconfig.get_path("purelib")))
                parts = _until_first_row(data, name)
                if state == "cold":
                    _drop_from_cache(Path(sysconfig.get_path("purelib")))
                found.append([*parts, _seconds_of(IMPORTS)])
                shutil.rmtree(data / "runs" / name)
    sys.stdout.write("| seconds | warm | cold |\n|---|---|---|\n")
    for place, part in enumerate(PARTS):
        medians = [statistics.median(row[place] for row in found) for found in times.values()]
        sys.stdout.write(f"| {part} | {medians[0]:.1f} | {medians[1]:.1f} |\n")


def _until_first_row(data: Path, name: str) -> list[float]:
    """Start the run, and kill it at its first new chunk; the seconds of each part, and of all."""
    run = data / "runs" / name
    before = set(run.glob("shards/*/chunk-*.parquet"))
    luigi = [sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset", "--local-scheduler"]
    sizes = ["--max-new-tokens", "16", "--checkpoint-seconds", "0", "--temperature", "0"]
    start = time.monotonic()
    with subprocess.Popen(
        [*luigi, "--name", name, "--data-dir", str(data), *sizes], stderr=subprocess.PIPE, text=True
    ) as process:
        said: list[tuple[float, str]] = []
        reader = Thread(target=_listen, args=(process, said), daemon=True)
        reader.start()
        while not set(run.glob("shards/*/chunk-*.parquet")) - before:
            if process.poll() is not None:
                raise SystemExit("".join(line for _, line in said))
            time.sleep(0.005)
        end = time.monotonic()
        process.kill()
        reader.join()
    loaded, seconds = next((at, float(line.split(" in ")[1].split()[0])) for at, line in said if "Loaded " in line)
    ready = next(at for at, line in said if "Generating with" in line)
    return [loaded - seconds - start, seconds, ready - loaded, end - ready, end - start]


def _listen(process: subprocess.Popen[str], said: list[tuple[float, str]]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        said.append((time.monotonic(), line))  # noqa: PERF401 - each with the time at which it came


def _drop_from_cache(*folders: Path) -> None:
    os.sync()
    for path in _files(*folders):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _files(*folders: Path) -> Iterator[Path]:
    return (path for folder in folders for path in folder.rglob("*") if path.is_file())


def _seconds_of(code: str) -> float:
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
