"""llama.cpp's own server, from a wheel on PyPI; as a program it serves a model until it is killed.

    python -m tests.llama_cpp MODEL.gguf FILE

FILE gets the server's URL, as a job of a cluster would write it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOTS = 4
CONTEXT_OF_A_SLOT = 1024


def main() -> None:
    """Serve until killed."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * CONTEXT_OF_A_SLOT
    parameters.warmup = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    Path(sys.argv[2]).write_text(f"{server.listening_address}/v1\n", encoding="utf-8")
    while True:
        time.sleep(3600)


@contextmanager
def llama_cpp(model: Path, folder: Path) -> Iterator[str]:
    """A server of this model; gives its URL."""
    url, log = folder / "server-url", folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.llama_cpp", str(model), str(url)],
            cwd=Path(__file__).parents[1], stdout=output, stderr=output,
        )  # fmt: skip
    try:
        limit = time.monotonic() + 120
        while not (url.exists() and url.read_text().endswith("\n")):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < limit, log.read_text(errors="replace")
            time.sleep(0.05)
        yield url.read_text().strip()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
