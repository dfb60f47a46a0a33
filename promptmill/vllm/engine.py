"""The `vllm` engine: vLLM batches the rows, and this module feeds it and takes out what has finished."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.engine.encoding import Encoder, Window
from promptmill.engine.failures import Failures
from promptmill.engine.finish import Finish
from promptmill.engine.model import Beats
from promptmill.engine.rows import UNSOUND, Row
from promptmill.errors import ConfigurationError, EngineError
from promptmill.rendering import NEWEST, Rendering
from promptmill.sampling import SamplingParameters
from promptmill.vllm.loading import LoadedVllm
from promptmill.vllm.reason import said_by
from promptmill.vllm.sampling import sampling_arguments

logger = logging.getLogger(__name__)

_NAMES = count()


class VllmEngine:
    """Generates with a model that vLLM has loaded.

    Args:
        sampling: the same for all rows.
        batch_size: most rows at a time; vLLM takes no more than it was started for, and so many where this is None.
        rendering: the rules that the run was begun with.
        keep_special: special tokens inside completions stand in responses.

    Raises:
        ConfigurationError: `batch_size` below 1.
    """

    def __init__(
        self,
        loaded: LoadedVllm,
        sampling: SamplingParameters,
        *,
        batch_size: int | None = None,
        rendering: Rendering = NEWEST,
        keep_special: bool = False,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ConfigurationError(f"--batch-size is {batch_size}; it has to be 1 or more.")
        if batch_size is not None and batch_size > loaded.rows:
            logger.info("vLLM takes %d rows at a time here, and no more of --batch-size %d.", loaded.rows, batch_size)
        self._loaded = loaded
        self._sampling = sampling
        self._rendering = rendering
        self._keep_special = keep_special
        self._rows = min(batch_size or loaded.rows, loaded.rows)
        self._beats = Beats()

    @property
    def beats(self) -> int:
        """Steps so far: forward passes, over parts of prompts too."""
        return self._beats.count

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """Yield one completion a request, longest prompts first; see `Engine.generate`."""
        from promptmill.engine.model import context_length, end_tokens

        loaded = self._loaded
        if self._rendering.version:
            _require_free(loaded.generation_config)
        ends = end_tokens(loaded.generation_config, loaded.tokenizer, self._rendering)
        rules: dict[str, Any] = {"rendering": self._rendering, "keep_special": self._keep_special}
        finish = Finish(loaded.tokenizer, ends, self._sampling.stop, **rules)
        context = context_length(loaded.config)
        encoder = Encoder(
            loaded.tokenizer,
            context=context,
            max_new_tokens=self._sampling.max_new_tokens,
            rendering=self._rendering,
        )
        yield from _Run(loaded, self._sampling, finish, self._rows, self._beats).run(
            encoder.windows(requests), should_stop, may_begin
        )


def _require_free(generation_config: Any) -> None:
    """Refuse what the model's own configuration forbids or forces, as vLLM would not do it in the same way.

    Raises:
        EngineError: names the settings.
    """
    from promptmill.engine.constraints import constraints_in, stop_strings

    found = [*constraints_in(generation_config), *(["stop_strings"] if stop_strings(generation_config) else [])]
    if found:
        raise EngineError(
            f"The model's generation_config.json has {', '.join(found)}, which --engine vllm does not honour. "
            "Choose --engine transformers."
        )


class _Run:
    """One run over requests.

    A row is in the queue, live (handed to vLLM), or done. No more rows are handed over than vLLM
    computes at a time: it takes all of them in, so that what waits still waits here, where it can be left.
    """

    def __init__(
        self, loaded: LoadedVllm, sampling: SamplingParameters, finish: Finish, rows: int, beats: Beats
    ) -> None:
        self._loaded = loaded
        self._beats = beats
        self._engine = loaded.engine
        self._sampling = sampling
        self._finish = finish
        self._ends = sorted(end for end in finish.ends if 0 <= end < loaded.vocabulary)
        self._rows = rows
        self._failures = Failures()
        self._queue: deque[Row] = deque()
        self._live: dict[str, tuple[Row, float]] = {}
        self._done: list[Completion] = []

    def run(self, windows: Iterator[Window], should_stop: ShouldStop, may_begin: MayBegin) -> Iterator[Completion]:
        """Yield each completion as soon as it is there."""
        try:
            while not should_stop() and self._has_work(windows):
                if may_begin():
                    self._begin()
                elif not self._live:
                    break
                if self._live:
                    self._step()
                    self._beats.count += 1
                yield from self._hand_over()
            yield from self._hand_over()
        finally:
            with suppress(Exception):  # after a failure of vLLM's it may not take that either
                self._engine.abort_request(list(self._live))

    def _has_work(self, windows: Iterator[Window]) -> bool:
        """Keep rows in the queue while there are any; whether anything is left to do or to hand over."""
        if len(self._queue) < self._rows and (window := next(windows, None)):
            self._queue.extend(window.rows)
            self._done.extend(window.refused)
        elif not self._queue and not self._live:
            self._done.extend(self._failures.no_more())
        return bool(self._queue or self._live or self._done)

    def _hand_over(self) -> list[Completion]:
        done, self._done = self._done, []
        return done

    def _begin(self) -> None:
        """Hand rows to vLLM, as many as it computes at a time and no more prompts than the next forward pass takes."""
        new = 0
        while self._queue and len(self._live) < self._rows and new < self._loaded.prefill:
            row = self._queue.popleft()
            new += len(row.prompt)
            if row.reserve > self._loaded.room:
                self._done.append(row.complete("", "error", self._no_room(row)))
                continue
            name = f"row-{next(_NAMES)}"
            try:
                self._engine.add_request(name, self._prompt(row), self._parameters(row))
            except Exception as error:  # vLLM looks at a request before it takes it, and raises what it likes
                self._failures.add(row, error)
            else:
                self._live[name] = (row, time.monotonic())

    def _prompt(self, row: Row) -> Any:
        (prompt,) = self._engine.renderer.render_cmpl([{"prompt_token_ids": row.prompt}])
        return prompt

    def _parameters(self, row: Row) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        known = sampling_arguments(self._sampling, seed=row.request.seed, limit=row.limit, ends=self._ends)
        return SamplingParams(**known, output_kind=RequestOutputKind.FINAL_ONLY)

    def _step(self) -> None:
        """Compute a token of each live row, and take out the rows that this ended."""
        try:
            outputs = self._engine.step()
        except Exception as error:  # vLLM says not whose row it was
            raise EngineError(f"vLLM failed while it generated: {type(error).__name__}: {said_by(error)}") from error
        self._done.extend(self._failures.pass_worked())
        self._give_up(self._loaded.unsound.taken())
        for output in outputs:
            if output.finished and output.request_id in self._live:
                row, begun = self._live.pop(output.request_id)
                completion = self._completion(row, output.outputs[0])
                self._done.append(replace(completion, seconds=time.monotonic() - begun))

    def _give_up(self, names: set[str]) -> None:
        """Rows whose logits are no numbers: vLLM would go on with the first token of the vocabulary."""
        unsound = [name for name in names if name in self._live]
        for name in unsound:
            row, _ = self._live.pop(name)
            self._done.append(row.complete("", "error", UNSOUND))
        if unsound:
            self._engine.abort_request(unsound)

    def _completion(self, row: Row, output: Any) -> Completion:
        if output.finish_reason not in ("stop", "length"):
            return row.complete("", "error", f"vLLM gave this row up: {output.finish_reason}.")
        return self._finish.whole(row, output.token_ids)

    def _no_room(self, row: Row) -> str:
        return (
            f"The row may come to {row.reserve} positions ({len(row.prompt)} of the prompt and {row.limit} new ones), "
            f"and vLLM has room for {self._loaded.room} here."
        )
