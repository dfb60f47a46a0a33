"""What was decided, tried: vLLM loads the model and generates a few rows."""

from __future__ import annotations

import logging
import time
from itertools import islice
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError
from promptmill.placing.calibrate import Measured, memory_in_use, memory_peak
from promptmill.placing.decision import Decision
from promptmill.vllm.loading import LoadedVllm
from promptmill.vllm.reason import said_by
from promptmill.vllm.unsound import tensors_with_nan

logger = logging.getLogger(__name__)

GPU_ROWS = 64
CPU_ROWS = 4
STEPS = 8
PROMPT = 8
MOST_NAMED = 3
_PRIME = 7919


def prove(loaded: LoadedVllm, decision: Decision) -> Measured:
    """Generate a few synthetic rows, and note what that took.

    The engine stays for the shards of this process, so that nothing is loaded twice.

    Raises:
        EngineError: memory has no room for the rows of this run, vLLM fails on them, or its logits are no numbers.
    """
    if loaded.room < decision.arithmetic.positions:
        raise EngineError(
            f"vLLM has room for rows of {loaded.room} positions here, and this run's may come to "
            f"{decision.arithmetic.positions}. Choose a smaller --max-new-tokens, --quantization 4bit, or GPUs that "
            "nobody else uses."
        )
    used = memory_in_use()
    rows = min(GPU_ROWS if decision.gpus_per_copy else CPU_ROWS, loaded.rows)
    speed = _tried(loaded, rows, min(STEPS, loaded.room - 1))
    if loaded.unsound.taken():
        raise EngineError(_no_numbers(loaded, decision))
    logger.info("vLLM makes %.0f tokens/s with %d short rows.", speed, rows)
    return Measured(
        load_seconds=round(loaded.load_seconds, 3),
        memory_bytes=sum(loaded.engine.apply_model(_weight_bytes)),
        loaded_bytes=used,
        peak_bytes=memory_peak(),
        tokens_per_second=round(speed, 1),
        batch_size=loaded.rows,
        from_store=False,
    )


def _no_numbers(loaded: LoadedVllm, decision: Decision) -> str:
    folder = Path(loaded.folder)
    damaged = list(islice(tensors_with_nan(folder), MOST_NAMED))
    if damaged:
        return (
            f"{', '.join(damaged)} in {folder} hold values that are no numbers (NaN), and so would all rows be. "
            "Copy the model again, or choose another revision."
        )
    return (
        f"In a trial with {folder} the logits were no numbers (NaN), although the weights are: in {decision.dtype} the "
        "values of this model become too large. Choose --dtype bfloat16 or float32."
    )


def _weight_bytes(model: Any) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.nbytes for tensor in tensors)


def _tried(loaded: LoadedVllm, rows: int, steps: int) -> float:
    """Tokens a second."""
    from vllm import SamplingParams

    engine, room = loaded.engine, loaded.room - steps
    sampling = SamplingParams(temperature=0, max_tokens=steps, ignore_eos=True, detokenize=False)
    try:
        for row in range(rows):
            ids = [(row * PROMPT + place) * _PRIME % loaded.vocabulary for place in range(max(1, min(PROMPT, room)))]
            (prompt,) = engine.renderer.render_cmpl([{"prompt_token_ids": ids}])
            engine.add_request(f"trial-{row}", prompt, sampling)
        start = time.monotonic()
        while engine.has_unfinished_requests():
            engine.step()
    except Exception as error:  # vLLM raises what it likes
        raise EngineError(
            f"vLLM loaded the model, and cannot generate with it: {type(error).__name__}: {said_by(error)}"
        ) from error
    return rows * steps / max(time.monotonic() - start, 1e-6)
