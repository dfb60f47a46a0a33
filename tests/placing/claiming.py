"""A process that takes GPUs and keeps them; imports next to nothing, so that it starts at once."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from promptmill.hardware import VISIBLE, Gpu, Hardware
from promptmill.placing import gpus as module

SPAWN = multiprocessing.get_context("spawn")


def show(gpus: tuple[Gpu, ...]) -> None:
    """Make these the GPUs that the driver shows to this process."""
    module.detect_hardware = lambda: Hardware(gpus, cores=1)  # type: ignore[attr-defined]
    module.WAIT_SECONDS = 0.02


def _child(folder: str, gpus: tuple[Gpu, ...], needs: tuple[int, ...], pipe: Connection) -> None:
    show(gpus)
    module.claim_gpus(needs, folder=Path(folder))
    pipe.send(os.environ[VISIBLE])
    time.sleep(60)


class Claimant:
    """A process that takes GPUs, says which, and keeps them until it dies."""

    def __init__(self, folder: Path, gpus: tuple[Gpu, ...], needs: tuple[int, ...]) -> None:
        self._pipe, other = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_child, args=(str(folder), gpus, needs, other), daemon=True)
        self._process.start()

    def visible(self, seconds: float = 30.0) -> str | None:
        """What it lets CUDA see; None if it still waits."""
        return str(self._pipe.recv()) if self._pipe.poll(seconds) else None

    def kill(self) -> None:
        """With SIGKILL: nothing of its own runs any more."""
        self._process.kill()
        self._process.join()
