"""Which of a machine's GPUs a process takes, so that processes side by side never share one.

A lock file a GPU, on the machine's own file system, held by `flock`: the kernel lets go of it when the
process dies, however it dies, so nothing has to be cleaned up and no daemon keeps a list. Why not another
way: docs/decisions/0004-placement.md.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import EngineError, StorageError
from promptmill.hardware import Gpu, detect_hardware, narrow_to, widen

logger = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
_ALLOCATOR = "expandable_segments:True"
_ALLOCATOR_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@dataclass(frozen=True)
class Claim:
    """GPUs that this process has to itself among promptmill's, for as long as the files are open."""

    gpus: tuple[Gpu, ...]
    descriptors: tuple[int, ...]

    def release(self) -> None:
        """Give them back before the process ends."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        widen()


class _Held:
    """The one claim of this process: CUDA reads its list of devices only once."""

    claim: Claim | None = None


def claim_gpus(needs: Sequence[int], *, folder: Path | None = None) -> Claim:
    """Take a GPU for each of `needs`, bytes that have to be free on it; wait while others have them.

    From then on CUDA sees these GPUs alone, as 0, 1, ...: to be called before CUDA is touched. A process
    that has a claim gets the same one again.

    Args:
        folder: of the lock files; the user's own on this machine by default.

    Raises:
        EngineError: there are too few GPUs with so much free memory, whoever holds them.
    """
    if _Held.claim is not None:
        return _Held.claim
    claim = _wait_for(tuple(needs), folder or lock_folder())
    prepare_allocator()
    narrow_to(claim.gpus)
    _Held.claim = claim
    logger.info("This process takes %s.", ", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in claim.gpus))
    return claim


def release_gpus() -> None:
    """Give the process's GPUs back; for tests, as CUDA would not see others any more."""
    if _Held.claim is not None:
        _Held.claim.release()
        _Held.claim = None


def prepare_allocator() -> None:
    """Let PyTorch's allocator grow segments instead of fragmenting, unless the user has chosen otherwise."""
    if not any(name in os.environ for name in _ALLOCATOR_NAMES):
        # The old name, which versions since 2.9 read as well.
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = _ALLOCATOR


def lock_folder() -> Path:
    """A folder of this user's on this machine: locks on network file systems cannot be relied on.

    Raises:
        StorageError: somebody else made it.
    """
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    folder = parent / f"promptmill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise StorageError(
            f"{folder} belongs to somebody else. Ask them to remove it, or set TMPDIR to a folder of yours."
        )
    return folder


def _wait_for(needs: tuple[int, ...], folder: Path) -> Claim:
    told = False
    while True:
        gpus = detect_hardware().gpus
        claim = _take(gpus, needs, folder)
        if claim is not None:
            return claim
        if not told:
            logger.info("The GPUs of this machine are taken by other promptmill processes; waiting for %d.", len(needs))
            told = True
        time.sleep(WAIT_SECONDS)


def _take(gpus: Sequence[Gpu], needs: tuple[int, ...], folder: Path) -> Claim | None:
    """All that are needed or none, and one process at a time: two that hold a half each would wait for ever."""
    with _alone(folder):
        free = {gpu: descriptor for gpu in gpus if (descriptor := _lock(folder, gpu)) is not None}
        chosen = _matching(list(free), needs)
        for gpu, descriptor in free.items():
            if chosen is None or gpu not in chosen:
                os.close(descriptor)
        if chosen is not None:
            return Claim(tuple(chosen), tuple(free[gpu] for gpu in chosen))
        if len(free) == len(gpus) or len(gpus) < len(needs):
            raise EngineError(_too_little(gpus, needs))
    return None


def _matching(gpus: list[Gpu], needs: tuple[int, ...]) -> list[Gpu] | None:
    """A GPU for each need, in their order: for the largest need the tightest GPU that has it."""
    left = sorted(gpus, key=lambda gpu: gpu.free_bytes)
    chosen: dict[int, Gpu] = {}
    for number in sorted(range(len(needs)), key=lambda index: needs[index], reverse=True):
        fitting = [gpu for gpu in left if gpu.free_bytes >= needs[number]]
        if not fitting:
            return None
        chosen[number] = fitting[0]
        left.remove(fitting[0])
    return [chosen[number] for number in range(len(needs))]


def _too_little(gpus: Sequence[Gpu], needs: tuple[int, ...]) -> str:
    wanted = " and ".join(f"{need / (1 << 30):.1f} GiB" for need in needs)
    here = ", ".join(
        f"{gpu.name} {gpu.free_bytes / (1 << 30):.1f} of {gpu.total_bytes / (1 << 30):.1f} GiB" for gpu in gpus
    )
    return (
        f"This placement needs {len(needs)} GPU(s) with {wanted} free, and here are: {here or 'none'}. "
        "Wait until other programs have left them (nvidia-smi lists them), or remove the run's "
        "placement-*.json of this machine to have it decided anew for what is free now."
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = _open(folder / "assign.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, gpu: Gpu) -> int | None:
    """The open, locked file of a GPU; None if another process has it."""
    descriptor = _open(folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', gpu.uuid or gpu.name)}.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return descriptor


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
