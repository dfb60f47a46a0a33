"""One process of this machine at a time measures what a run's model takes: what another loads meanwhile would count."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptmill.placing.gpus import lock_folder

logger = logging.getLogger(__name__)


@contextmanager
def placing_alone(run: Path, folder: Path | None = None) -> Iterator[None]:
    """Wait, and say for whom, until no other process of this user places the model of this run here.

    The lock is the kernel's: it ends with the process that has it, however that ends.

    Args:
        folder: of the lock files; the user's own on this machine by default.
    """
    name = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    path = (folder or lock_folder()) / f"place-{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode() or "another process"
            logger.warning("The model of %s is being loaded and measured by %s; waiting for it.", run, holder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {time.strftime('%H:%M')}".encode(), 0)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor as well
        os.close(descriptor)
