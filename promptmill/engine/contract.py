"""What every engine takes and yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Message = dict[str, str]
FinishReason = Literal["stop", "length", "error"]
ShouldStop = Callable[[], bool]
MayBegin = Callable[[], bool]


def always() -> bool:
    """Yes."""
    return True


@dataclass(frozen=True)
class Request:
    """One row to generate: exactly one of `prompt` and `messages` is set.

    Attributes:
        position: the row's place in its shard; an engine hands it back untouched.
        prompt: the text that the model goes on from, already rendered by the user's template.
        messages: a chat, for the model's chat template to render.
        seed: of this row alone (`promptmill.sampling.row_seed`).
    """

    position: int
    seed: int
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True)
class Completion:
    """What became of one request.

    Attributes:
        response: the text generated alone: no prompt, no special tokens, no stop string.
        finish_reason: `stop` only if an end-of-sequence token or a stop string came.
        prompt_tokens, completion_tokens: None where nobody counted them.
        error: set with `finish_reason="error"`: why this row can't be generated.
        seconds: from the row's begin to its end; None where that has to be worked out from forward passes.
    """

    position: int
    response: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None = None
    seconds: float | None = None


class Engine(Protocol):
    """A loaded model, or a server that has one."""

    @property
    def beats(self) -> int:
        """Grows with each forward pass, or with each sign of work from a server; asked from another thread.

        What does not grow for long has stalled (`promptmill.watchdog`). Being asked to stop is no sign
        of work: an engine that waits asks that as well.
        """
        ...

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """Yield one completion a request, in any order, as they finish.

        `should_stop` is asked between forward passes, and as often where a server makes them; once
        it is true no more work is begun, what has finished is yielded, and the iterator ends. A row
        that can't be generated is yielded as an `error` completion and disturbs no other.

        `may_begin` is asked before rows are taken in. While it is false none is begun and those
        under way go on; once none is under way the iterator ends.

        Raises:
            EngineError: nothing more can be generated at all.
        """
        ...
