"""vLLM's own processes, one a GPU where a copy takes several: signals are not for them.

Ctrl-C, Slurm's signal before the walltime and scancel go to every process of a job. A worker that ends by one takes
the step under way, its rows and the run with it; this process hears the same signal, finishes the step, commits,
and ends, and its workers end when it does.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from promptmill.stopping import SIGNALS


@contextmanager
def starting() -> Iterator[None]:
    """Inside the block processes are started that SIGUSR2 does not end, as it would by default.

    vLLM's workers decide on the two other signals themselves. What Python starts to clean up shared memory
    behind them ignores those two, and would be ended by this one with the memory still taken.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_us(engine: Any) -> None:
    """Have the workers of a `vllm.LLMEngine` ignore what tells this process to stop; without workers, nothing."""
    if engine.vllm_config.parallel_config.world_size > 1:
        engine.collective_rpc(_ignore_signals)


def _ignore_signals(_: Any) -> None:
    """What each worker runs, in its main thread."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
