"""The loop: takes rows in, runs forward passes, hands over what has finished, survives what fails."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import torch

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.engine.decoder import Decoder
from promptmill.engine.encoding import Encoder, Window
from promptmill.engine.failures import DEVICE_ERROR, Failures, is_out_of_memory
from promptmill.engine.finish import Finish
from promptmill.engine.policy import Policy
from promptmill.engine.rows import UNSOUND, Row
from promptmill.engine.sampler import Choice, Sampler
from promptmill.errors import EngineError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Loop:
    """One run over requests.

    A row is in the queue, live (in the decoder's batch, at the same place as in `_live`), or done.
    """

    def __init__(self, decoder: Decoder, sampler: Sampler, finish: Finish, encoder: Encoder, policy: Policy) -> None:
        self._decoder = decoder
        self._sampler = sampler
        self._finish = finish
        self._encoder = encoder
        self._policy = policy
        self._failures = Failures()
        self._queue: deque[Row] = deque()
        self._live: list[Row] = []
        self._done: list[Completion] = []
        self._refused: deque[list[Completion]] = deque([[], []])
        self._begins = True

    def run(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """Yield each completion as soon as it is there."""
        windows = self._encoder.windows(requests)
        try:
            while not should_stop() and self._has_work(windows):
                self._begins = may_begin()
                if self._live or (self._queue and self._begins):
                    self._turn()
                elif self._queue:
                    break
                yield from self._hand_over()
            yield from self._hand_over()
        finally:
            self._live.clear()
            self._decoder.clear()

    def _has_work(self, windows: Iterator[Window]) -> bool:
        """Keep rows in the queue while there are any; whether anything is left to do or to hand over.

        What was refused comes once the rows that were looked at together with it have finished, a window
        later: at the head of a shard it would look as if nothing could be generated.
        """
        if not self._queue and (window := next(windows, None)):
            self._queue.extend(window.rows)
            self._done.extend(self._refused.popleft())
            self._refused.append(window.refused)
        elif not self._queue and not self._live:
            self._done.extend(chain(*self._refused, self._failures.no_more()))
            self._refused = deque([[], []])
        return bool(self._queue or self._live or self._done or any(self._refused))

    def _hand_over(self) -> list[Completion]:
        done, self._done = self._done, []
        return done

    @torch.inference_mode()
    def _turn(self) -> None:
        """Take rows in, and compute one token of each live row."""
        choice, trouble = _attempted(self._step)
        if choice is not None:
            ended = self._advance(choice)
            # Making room takes memory too, in caches that are copied for it.
            _, trouble = _attempted(lambda: self._drop(ended))
        if trouble is None:
            self._acquit()
        else:
            self._recover(trouble)

    def _step(self) -> Choice:
        self._admit()
        logits = self._decoder.forward([row.last for row in self._live])
        return self._sampler.choose(logits, self._live)

    def _admit(self) -> None:
        """Move rows from the queue into the batch, as many as the policy allows."""
        new: list[Row] = []
        while self._begins and self._queue and self._joins(new, self._queue[0]):
            new.append(self._queue.popleft())
        if not self._policy.worth_while(len(self._live), new, more=bool(self._queue)):
            self._queue.extendleft(reversed(new))
        elif new:
            self._live.extend(new)
            self._decoder.admit(new)

    def _joins(self, new: Sequence[Row], row: Row) -> bool:
        if self._live and not self._decoder.refills:
            return False
        if new and self._decoder.even and row.length != new[0].length:
            return False
        return self._policy.fits([*self._live, *new], row)

    def _advance(self, choice: Choice) -> set[int]:
        """Give each row its token; the places of the rows that this ended."""
        self._policy.pass_worked()
        self._done.extend(self._failures.pass_worked())
        ended = set()
        for place, (row, token, sound) in enumerate(zip(self._live, choice.tokens, choice.sound, strict=True)):
            completion = self._end(row, token, sound)
            if completion is not None:
                self._done.append(completion)
                ended.add(place)
        return ended

    def _end(self, row: Row, token: int, sound: bool) -> Completion | None:
        if not sound:
            return row.complete("", "error", UNSOUND)
        try:
            return self._finish.take(row, token)
        except Exception as error:  # a tokenizer may raise anything at all on a token that it doesn't know
            return row.complete("", "error", f"The tokens can't be read as text: {type(error).__name__}: {error}")

    def _drop(self, ended: set[int]) -> None:
        """Close the gaps with the last rows, so that as few as possible move."""
        if not ended:
            return
        left = len(self._live) - len(ended)
        movers = (place for place in range(left, len(self._live)) if place not in ended)
        order = [next(movers) if place in ended else place for place in range(left)]
        self._live = [self._live[place] for place in order]
        self._decoder.keep(order)

    def _acquit(self) -> None:
        """A row that was tried alone, and works, makes room for the next to try, and joins a batch later."""
        if not self._live or not self._live[0].alone:
            return
        row = self._live.pop()
        row.alone = False
        self._decoder.clear()
        suspects = sum(other.alone for other in self._queue)
        self._queue.insert(suspects, row)

    def _recover(self, trouble: Exception) -> None:
        """Put the live rows back with all that they have, to be tried in a smaller batch or alone."""
        rows, self._live = self._live, []
        self._decoder.clear()
        if is_out_of_memory(trouble):
            self._recover_memory(rows, trouble)
        elif isinstance(trouble, DEVICE_ERROR):
            raise EngineError(f"The device has failed, and takes no more work in this process: {trouble}") from trouble
        elif len(rows) == 1 and rows[0].alone:
            self._failures.add(rows[0], trouble)
        else:
            logger.warning("A forward pass over %d rows failed; each is tried alone: %r", len(rows), trouble)
            for row in rows:
                row.alone = True
            self._queue.extendleft(reversed(rows))

    def _recover_memory(self, rows: list[Row], trouble: Exception) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(rows) == 1 and rows[0].alone:
            error = f"This row alone does not fit into memory at {rows[0].length} tokens: {trouble}"
            logger.warning("%s", error)
            self._done.append(rows[0].complete("", "error", error))
            self._policy.given_up()
            return
        if len(rows) == 1:
            # What it did not fit beside may have been the room for others, or another program's for a moment.
            rows[0].alone = True
            self._policy.out_of_memory_with_one()
        else:
            self._policy.out_of_memory(len(rows))
        self._queue.extendleft(reversed(rows))


def _attempted(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """What `work` returned, or what it raised: told apart where no frame holds on to tensors any more."""
    try:
        return work(), None
    except Exception as error:
        logger.debug("A forward pass failed.", exc_info=True)
        trouble = error.with_traceback(None)
        trouble.__context__ = None
        return None, trouble
