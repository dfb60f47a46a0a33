"""Fill a shard with vLLM in two workers, as on two GPUs: `python -m tests.vllm.two_workers MODEL FOLDER`.

Told to stop it ends with 75, as a run does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from promptmill.engine.contract import Request
from promptmill.errors import Interrupted
from promptmill.generate import fill_shard
from promptmill.shard import ShardStore
from promptmill.stopping import stop_request
from promptmill.vllm.engine import VllmEngine
from promptmill.vllm.loading import load
from promptmill.vllm.plan import VllmPlan
from tests.engine.tiny import greedy, prompts, requests

ROWS = 2000


class Shared(VllmPlan):
    """Each layer over two workers on a CPU."""

    def arguments(self) -> dict[str, Any]:
        """As `VllmPlan`."""
        return super().arguments() | {"tensor_parallel_size": 2}


def main() -> int:
    """Load, say so, and generate."""
    model, folder = sys.argv[1:]
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    stop_request.install()
    engine = VllmEngine(load(Shared(model, "float32", "none", 0, None, 64 << 20), 1), greedy(30), batch_size=2)
    asked: list[Request] = requests(prompts(ROWS))
    store = ShardStore(Path(folder), 0, fingerprint="f", rows=ROWS)
    with stop_request.draining():
        done = fill_shard(
            store,
            {one.position: one for one in asked},
            engine,
            checkpoint_seconds=0.2,
            should_stop=lambda: stop_request.requested,
            on_row=lambda row: None,
        )
    return 0 if done else Interrupted.exit_code


if __name__ == "__main__":
    sys.exit(main())
