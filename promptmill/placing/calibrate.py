"""What was decided, tried: a batch of synthetic rows, the memory that it takes, the speed of a few steps."""

from __future__ import annotations

import gc
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from promptmill.engine.loading import LoadedModel
from promptmill.errors import EngineError
from promptmill.libraries import Versions, library_versions
from promptmill.placing.decision import Decision
from promptmill.placing.memory import GIB, PREFILL_TOKENS

logger = logging.getLogger(__name__)

GPU_STEPS = 8
CPU_STEPS = 4
CPU_ROWS = 4
CPU_PROMPT = 8
"""A few rows and steps: a second on a CPU, whose batch memory does not bound."""
_PRIME = 7919


@dataclass(frozen=True)
class Measured:
    """What loading and a first batch took.

    Attributes:
        memory_bytes: of parameters and buffers.
        loaded_bytes: in use on each device after loading; of host memory what the process has resident.
        peak_bytes: at the peak of the calibrating batch; of GPUs what PyTorch had allocated, without the context.
        tokens_per_second: of that batch's decoding steps; rows are short, so real ones are slower.
        batch_size: rows at a time that are safe: as decided, or fewer if they did not fit.
        from_store: whether the weights were read quantised, as an earlier start kept them.
        slots_with: the libraries and the trial that have shown that the model can be decoded in slots, if they have.
    """

    load_seconds: float
    memory_bytes: int
    loaded_bytes: dict[str, int]
    peak_bytes: dict[str, int]
    tokens_per_second: float
    batch_size: int
    from_store: bool
    slots_with: Versions | None = None

    @property
    def slots_work(self) -> bool:
        """Whether the model can be decoded in slots by the libraries at hand, so that it need not be tried again."""
        return self.slots_with == _tried_with()

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


def calibrate(loaded: LoadedModel, decision: Decision) -> Measured:
    """Run a batch of the decided size, halving it while memory runs out.

    Raises:
        EngineError: not even one row fits beside the weights.
    """
    after_loading = memory_in_use()
    batch = _Batch(loaded.model, decision)
    rows = decision.batch_size
    while (speed := batch.tried(rows)) is None:
        if rows == 1:
            raise EngineError(
                f"The model is loaded, and then there is no memory for even one row of "
                f"{decision.arithmetic.positions} positions. Choose more quantisation (--quantization 4bit), "
                "a smaller --max-new-tokens, or GPUs that nobody else uses."
            )
        logger.warning("Out of memory with %d rows; trying %d.", rows, rows // 2)
        rows //= 2
    peak = memory_peak()
    peak["host"] = max(peak["host"], after_loading["host"])  # the kernel's high-water mark lags a little
    logger.info("A batch of %d rows peaks at %.2f GiB and makes %.0f tokens/s.", rows, max(peak.values()) / GIB, speed)
    return Measured(
        load_seconds=round(loaded.load_seconds, 3),
        memory_bytes=loaded.memory_bytes,
        loaded_bytes=after_loading,
        peak_bytes=peak,
        tokens_per_second=round(speed, 1),
        batch_size=rows,
        from_store=loaded.from_store,
        slots_with=_tried_with() if _slots_work(loaded.model) else None,
    )


def _tried_with() -> Versions:
    # The first trial stayed below windows and chunks: what it has shown is not believed.
    return {**library_versions(), "trial of slots": "2"}


def _slots_work(model: Any) -> bool:
    from promptmill.engine.failures import is_out_of_memory
    from promptmill.engine.model import Forward
    from promptmill.engine.ways import why_no_slots

    try:
        return why_no_slots(Forward.of(model)) is None
    except Exception as error:
        if is_out_of_memory(error):
            return False  # the engine tries it again, and says so
        raise


class _Batch:
    """Synthetic rows on a model: real passes over short prompts, and the KV cache of full rows as ballast."""

    def __init__(self, model: Any, decision: Decision) -> None:
        self._model = model
        self._decision = decision
        self._on_gpu = decision.gpus_per_copy > 0
        self._steps = GPU_STEPS if self._on_gpu else CPU_STEPS

    def tried(self, rows: int) -> float | None:
        """Tokens a second with so many rows; None if memory runs out."""
        import torch

        try:
            return self._run(rows if self._on_gpu else min(rows, CPU_ROWS))
        except torch.OutOfMemoryError:
            pass  # freed below, where no frame holds on to tensors any more
        gc.collect()
        torch.cuda.empty_cache()
        return None

    def _run(self, rows: int) -> float:
        ids = self._ids(rows)
        ballast = self._ballast(rows, ids.shape[1])
        self._seconds(ids[:1], 1)  # loads kernels
        first = self._seconds(ids, 1)
        more = self._seconds(ids, 1 + self._steps)
        del ballast
        return rows * self._steps / max(more - first, 1e-6)

    def _ids(self, rows: int) -> Any:
        import torch

        length = max(1, min(PREFILL_TOKENS // rows, self._decision.arithmetic.positions - GPU_STEPS - 1))
        length = length if self._on_gpu else CPU_PROMPT
        vocabulary = self._model.config.get_text_config(decoder=True).vocab_size
        ids = torch.arange(rows * length) * _PRIME % vocabulary
        device = self._model.get_input_embeddings().weight.device
        return ids.reshape(rows, length).to(self._model.device if device.type == "meta" else device)

    def _ballast(self, rows: int, length: int) -> list[Any]:
        """What full rows would hold in the KV cache beyond those of this batch, a part a GPU."""
        import torch

        sums = self._decision.arithmetic
        positions = rows * max(0, sums.positions - length - GPU_STEPS)
        gpus = self._decision.gpus_per_copy
        size = sums.kv_cache_token * positions // max(1, gpus)
        return [torch.empty(size, dtype=torch.uint8, device=f"cuda:{number}") for number in range(gpus)]

    def _seconds(self, ids: Any, steps: int) -> float:
        import torch

        start = time.monotonic()
        with torch.inference_mode(), _own_generation_config(self._model):
            self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=steps,
                max_new_tokens=steps,
                do_sample=False,
                pad_token_id=0,
            )
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.monotonic() - start


@contextmanager
def _own_generation_config(model: Any) -> Iterator[None]:
    """Measure without the model's: it may ask for beams, other models, or code from elsewhere."""
    from transformers import GenerationConfig

    kept = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=getattr(kept, "eos_token_id", None))
    try:
        yield
    finally:
        model.generation_config = kept


def memory_in_use() -> dict[str, int]:
    """Bytes in use on each device that this process uses; of host memory what it has resident."""
    import psutil
    import torch

    used = {"host": int(psutil.Process().memory_info().rss)}
    for number in _initialised_gpus():
        free, total = torch.cuda.mem_get_info(number)
        torch.cuda.reset_peak_memory_stats(number)
        used[f"cuda:{number}"] = total - free
    return used


def memory_peak() -> dict[str, int]:
    """The most of that since `memory_in_use` was asked."""
    import torch

    peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    for number in _initialised_gpus():
        peak[f"cuda:{number}"] = int(torch.cuda.max_memory_allocated(number))
    return peak


def _initialised_gpus() -> range:
    import torch

    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if started else 0)
