"""Asking the Hub with patience: which client huggingface_hub uses, and for how long it may try."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from promptmill.hub.patience import Budget, Patience


@contextmanager
def patient(patience: Patience) -> Iterator[Budget]:
    """Inside the block all requests of huggingface_hub have deadlines and share one budget for trying again.

    A request that fails for good raises `GaveUp`; see `promptmill.hub.errors.hub_errors`.
    """
    budget = Budget(patience)
    _prepare_xet(patience)
    _use(budget)
    try:
        yield budget
    finally:
        _use_the_librarys_own()


@contextmanager
def xet_deadline(seconds: float) -> Iterator[None]:
    """End a transfer of hf_xet that takes longer; it then raises RuntimeError in the thread that waits for it.

    hf_xet has no read timeout where it registers what it uploaded.
    """
    from huggingface_hub.utils._xet import abort_xet_session

    timer = threading.Timer(seconds, abort_xet_session)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _use(budget: Budget) -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import hf_request_event_hook
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from promptmill.hub.client import HubClient

    disable_progress_bars()  # Ours counts bytes on the disk, whatever way they came.
    hooks = {"request": [hf_request_event_hook]}
    set_client_factory(lambda: HubClient(budget, event_hooks=hooks, follow_redirects=True, timeout=None))


def _use_the_librarys_own() -> None:
    # `datasets` asks for things that need not be there, and is not to wait for them.
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    set_client_factory(default_client_factory)


def _prepare_xet(patience: Patience) -> None:
    """What hf_xet reads when it starts; what the user has set stays."""
    os.environ.setdefault("HF_XET_CLIENT_CONNECT_TIMEOUT", "10s")
    os.environ.setdefault("HF_XET_CLIENT_READ_TIMEOUT", f"{max(1, round(patience.request_seconds))}s")
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "3")
    os.environ.setdefault("HF_XET_CLIENT_RETRY_BASE_DELAY", "500ms")
