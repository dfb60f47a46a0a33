"""Which process gets which GPU: real processes, real locks, a driver's answer made up."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptmill.errors import EngineError
from promptmill.hardware import VISIBLE
from promptmill.placing import gpus as module
from promptmill.placing.gpus import claim_gpus, lock_folder, prepare_allocator, release_gpus
from promptmill.placing.memory import GIB
from tests.placing.claiming import Claimant, show
from tests.placing.models import rtx6000, t4

NEED = 10 * GIB


@pytest.fixture(autouse=True)
def _own_claims(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "detect_hardware", module.detect_hardware)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.02)
    monkeypatch.delenv(VISIBLE, raising=False)
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    yield
    release_gpus()
    os.environ.pop("PYTORCH_CUDA_ALLOC_CONF", None)


def test_processes_side_by_side_never_share_a_gpu(tmp_path: Path) -> None:
    """Three processes take the three GPUs; a fourth waits, and gets that of one killed with SIGKILL."""
    gpus = t4(3)
    holders = [Claimant(tmp_path, gpus, (NEED,)) for _ in range(3)]
    taken = [holder.visible() for holder in holders]
    assert sorted(map(str, taken)) == sorted(gpu.uuid for gpu in gpus)
    fourth = Claimant(tmp_path, gpus, (NEED,))
    try:
        assert fourth.visible(seconds=1.0) is None
        holders[1].kill()
        assert fourth.visible() == taken[1]
    finally:
        for process in (*holders, fourth):
            process.kill()


def test_a_copy_over_two_gpus_gets_both_or_waits(tmp_path: Path) -> None:
    """With three GPUs and two processes that want two each, one works and one waits: no deadlock."""
    gpus = t4(3)
    both = [Claimant(tmp_path, gpus, (NEED, NEED)) for _ in range(2)]
    try:
        seen = [process.visible(seconds=2.0) for process in both]
        assert sorted(len(visible.split(",")) for visible in seen if visible) == [2]
        both[0 if seen[0] else 1].kill()
        waiting = both[1 if seen[0] else 0]
        assert len(str(waiting.visible()).split(",")) == 2
    finally:
        for process in both:
            process.kill()


def test_a_process_asks_once(tmp_path: Path) -> None:
    """CUDA reads its list of devices only once, so the claim stays what it is; given back, all is as before."""
    show(t4(2))
    first = claim_gpus((NEED,), folder=tmp_path)
    assert claim_gpus((NEED,), folder=tmp_path) is first
    assert os.environ[VISIBLE] == first.gpus[0].uuid
    release_gpus()
    assert VISIBLE not in os.environ


def test_memory_that_others_use_counts(tmp_path: Path) -> None:
    """A GPU that another program fills is passed over; if all are full, that is said."""
    full, free = (replace(t4(2)[0], free_bytes=GIB), t4(2)[1])
    show((full, free))
    assert claim_gpus((NEED,), folder=tmp_path).gpus == (free,)
    release_gpus()
    show((full,))
    with pytest.raises(EngineError, match=r"needs 1 GPU\(s\) with 10\.0 GiB free, and here are: Tesla T4 1\.0"):
        claim_gpus((NEED,), folder=tmp_path)


def test_each_part_of_a_copy_gets_a_gpu_that_holds_it(tmp_path: Path) -> None:
    """On a mixed node the larger part goes to the larger GPU, in the order of the placement."""
    small, large = t4(1)[0], rtx6000(1)[0]
    show((small, large))
    assert claim_gpus((20 * GIB, NEED), folder=tmp_path).gpus == (large, small)
    release_gpus()
    assert claim_gpus((NEED,), folder=tmp_path).gpus == (small,)


def test_the_allocator_is_told_not_to_fragment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user has set it."""
    prepare_allocator()
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "backend:cudaMallocAsync")
    prepare_allocator()
    assert "PYTORCH_CUDA_ALLOC_CONF" not in os.environ


def test_the_locks_lie_in_a_folder_of_this_user_on_thisshow() -> None:
    """Nobody else may write there."""
    folder = lock_folder()
    assert folder.stat().st_uid == os.getuid()
    assert folder.stat().st_mode & 0o077 == 0
