"""The `transformers` engine: any causal language model that transformers loads, on CPU or GPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.errors import ConfigurationError, EngineError
from promptmill.rendering import NEWEST, Rendering
from promptmill.sampling import SamplingParameters

if TYPE_CHECKING:
    from promptmill.engine.decoder import Decoder
    from promptmill.engine.model import Forward
    from promptmill.engine.policy import Policy
    from promptmill.engine.ways import Way

logger = logging.getLogger(__name__)


class TransformersEngine:
    """Generates with a loaded model and its tokenizer; neither is changed, save that the model is put in eval mode.

    Args:
        model: what `AutoModelForCausalLM.from_pretrained` returns, placed on its device or devices.
        tokenizer: the model's own.
        sampling: the same for all rows.
        batch_size: most rows in a forward pass, as measured to be safe; None chooses by the device.
        positions: most positions in the key-value cache (rows times the longest row), as measured to
            be safe; None works it out from the memory that is free.
        way: `slots` or `batches`; None takes slots where the model supports them.
        slots_work: a trial of this very model has shown that it supports them, and need not be made again.
        make_decoder: makes the decoder, told the model's forward passes and the policy, in place of `way`.
        rendering: the rules that the run was begun with.
        keep_special: special tokens inside completions stand in responses.

    Raises:
        ConfigurationError: `batch_size` or `positions` below 1.
        EngineError: the model is no causal language model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        sampling: SamplingParameters,
        *,
        batch_size: int | None = None,
        positions: int | None = None,
        way: Way | None = None,
        slots_work: bool = False,
        make_decoder: Callable[[Forward, Policy], Decoder] | None = None,
        rendering: Rendering = NEWEST,
        keep_special: bool = False,
    ) -> None:
        from promptmill.engine.model import Beats

        for name, value in (("batch size", batch_size), ("number of positions", positions)):
            if value is not None and value < 1:
                raise ConfigurationError(f"The {name} is {value}; it has to be 1 or more, or None to choose it.")
        if getattr(model.config, "is_encoder_decoder", False):
            raise EngineError(f"{type(model).__name__} is an encoder-decoder; choose a causal language model.")
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._batch_size = batch_size
        self._positions = positions
        self._way = way
        self._slots_work = slots_work
        self._make_decoder = make_decoder
        self._rendering = rendering
        self._keep_special = keep_special
        self._beats = Beats()
        self._ready: tuple[Decoder, Policy] | None = None

    @property
    def beats(self) -> int:
        """Forward passes so far, those over parts of prompts included."""
        return self._beats.count

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """Yield one completion a request, longest prompts first; see `Engine.generate`."""
        from promptmill.engine.constraints import Constraints, stop_strings
        from promptmill.engine.encoding import Encoder
        from promptmill.engine.finish import Finish
        from promptmill.engine.loop import Loop
        from promptmill.engine.model import context_length, end_tokens, vocabulary
        from promptmill.engine.packed import packed_linears
        from promptmill.engine.sampler import Sampler

        decoder, policy = self._prepare()
        own = self._model.generation_config
        ends = end_tokens(own, self._tokenizer, self._rendering)
        rules: dict[str, Any] = {"rendering": self._rendering, "keep_special": self._keep_special}
        stop, constraints = self._sampling.stop, None
        if self._rendering.version:
            stop, constraints = (*stop, *stop_strings(own)), Constraints(own, ends)
        finish = Finish(self._tokenizer, ends, stop, **rules)
        context = context_length(self._model.config)
        encoder = Encoder(
            self._tokenizer,
            context=context,
            max_new_tokens=self._sampling.max_new_tokens,
            vocabulary=vocabulary(self._model),
            rendering=self._rendering,
        )
        loop = Loop(decoder, Sampler(self._sampling, constraints), finish, encoder, policy)
        with packed_linears(self._model):
            yield from loop.run(requests, should_stop, may_begin)

    def _prepare(self) -> tuple[Decoder, Policy]:
        """Choose the way and the size of batches, once: it takes a few small forward passes."""
        from promptmill.engine.model import Forward

        if self._ready is None:
            forward = Forward.of(self._model, self._beats)
            try:
                self._ready = self._choose(forward)
            except Exception as error:
                raise EngineError(f"The model can't run at all: {type(error).__name__}: {error}") from error
        return self._ready

    def _choose(self, forward: Forward) -> tuple[Decoder, Policy]:
        from promptmill.engine.allocator import keep_freed_memory
        from promptmill.engine.policy import Policy, choose_positions, choose_slots
        from promptmill.engine.ways import choose_decoder, position_bytes

        if forward.device.type == "cpu":
            keep_freed_memory()
        positions = self._positions or choose_positions(position_bytes(forward))
        policy = Policy(choose_slots(forward.device, self._batch_size), positions)
        chosen = partial(choose_decoder, way=self._way, slots_work=self._slots_work)
        decoder = (self._make_decoder or chosen)(forward, policy)
        if not decoder.refills:
            policy = Policy(choose_slots(forward.device, self._batch_size, refills=False), positions)
        logger.info("Generating with %s: up to %d rows, %d positions.", decoder.name, policy.slots, policy.positions)
        return decoder, policy
