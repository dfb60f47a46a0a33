"""One completion, token by token, with the engine's own encoding, sampling and ending: the bytes of a dataset run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from promptmill.chat.conversation import Conversation
from promptmill.chat.passes import passes_of
from promptmill.chat.shown import ShownText
from promptmill.engine.constraints import Constraints, stop_strings
from promptmill.engine.contract import Completion, Request
from promptmill.engine.detokenise import REPLACEMENT, decode_after
from promptmill.engine.encoding import Encoder
from promptmill.engine.finish import Finish
from promptmill.engine.loading import LoadedModel
from promptmill.engine.model import context_length, end_tokens
from promptmill.engine.rows import Row
from promptmill.engine.sampler import Sampler
from promptmill.errors import EngineError
from promptmill.sampling import SamplingParameters

Reason = Literal["stop", "length", "context", "interrupted"]
ROOM_SHARE = 4
"""A completion is left at least a quarter of the context, if it may be so long."""


@dataclass(frozen=True)
class Spoken:
    """A completion, and what it took.

    Attributes:
        reason: `length` if --max-new-tokens ended it, `context` if the model's context did, `interrupted` if the user.
        tokens: of the completion.
        first_seconds: until the first token.
        seconds: from the first token to the last.
    """

    text: str
    reason: Reason
    tokens: int
    first_seconds: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Of decoding; of everything, if there was one token alone."""
        return (self.tokens - 1) / self.seconds if self.seconds > 0 else self.tokens / max(self.first_seconds, 1e-6)


@dataclass(frozen=True)
class Fitted:
    """A row that fits the context, and how many of the oldest turns had to be hidden for that."""

    row: Row
    request: Request
    hidden: int


class Speaker:
    """Generates with a loaded model; neither it nor its tokenizer is changed."""

    def __init__(self, loaded: LoadedModel, sampling: SamplingParameters, *, keep_special: bool = False) -> None:
        model, self._tokenizer = loaded.model, loaded.tokenizer
        self.context = context_length(model.config)
        self._most = sampling.max_new_tokens
        self._passes = passes_of(model)
        ends = end_tokens(model.generation_config, self._tokenizer)
        self._stop = (*sampling.stop, *stop_strings(model.generation_config))
        self._sampler = Sampler(sampling, Constraints(model.generation_config, ends))
        self._finish = Finish(self._tokenizer, ends, self._stop, keep_special=keep_special)
        self._encoder = Encoder(self._tokenizer, context=self.context, max_new_tokens=sampling.max_new_tokens)

    @property
    def left_out(self) -> frozenset[str]:
        """The special tokens that stood inside completions, and were not shown."""
        return self._finish.left_out

    def fitted(self, conversation: Conversation, prompt: str) -> Fitted:
        """The conversation with a new prompt, as tokens that leave room for a completion.

        Where it is too long, the oldest turns are hidden from the model: until a quarter of the room for
        them is free, as a conversation whose beginning changes has to be computed anew.

        Raises:
            EngineError: the prompt alone is too long, or the chat template takes no such messages.
        """
        hidden = 0
        while True:
            request = conversation.request(prompt)
            row = self._encoder.encode(request)
            if isinstance(row, Row) and self._leaves_room(row, hidden):
                return Fitted(row, request, hidden)
            too_long = isinstance(row, Row) or (row.prompt_tokens or 0) > 0
            if too_long and conversation.forget_oldest():
                hidden += 1
            elif isinstance(row, Completion):
                raise EngineError(f"{row.error}")
            else:
                return Fitted(row, request, hidden)

    def speak(self, row: Row, write: Callable[[str], None], should_stop: Callable[[], bool]) -> Spoken:
        """Generate a completion and hand over its text as it comes.

        Raises:
            EngineError: the model cannot go on: out of memory, logits that are no numbers, or an error of its own.
        """
        try:
            return self._speak(row, write, should_stop)
        except torch.OutOfMemoryError:
            pass  # freed below, where no frame holds on to tensors any more
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            self.forget()
            raise EngineError(f"The model fails on this conversation: {type(error).__name__}: {error}") from error
        self.forget()
        raise EngineError(
            f"There is no memory for a conversation of {row.length} tokens. /undo or /reset makes it shorter; "
            "--quantization 4bit or a smaller model leaves more."
        )

    def forget(self) -> None:
        """Give the memory of the conversation back; what is asked next is computed from its beginning."""
        self._passes.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _speak(self, row: Row, write: Callable[[str], None], should_stop: Callable[[], bool]) -> Spoken:
        begun = time.monotonic()
        first = last = begun
        text = ShownText(self._finish.tokenizer, self._stop, write, self._finish.before(row))
        logits = self._passes.read(row, should_stop)
        while logits is not None and not should_stop():
            choice = self._sampler.choose(logits, [row])
            if not choice.sound[0]:
                raise EngineError("The model's logits are not numbers (NaN or infinite). Choose another --dtype.")
            completion = self._finish.take(row, choice.tokens[0])
            last = time.monotonic()
            first = last if len(row.generated) == 1 else first
            if completion is not None:
                text.end(completion.response)
                reason = self._reason(completion, row)
                return Spoken(completion.response, reason, len(row.generated), first - begun, last - first)
            text.grow(row.generated)
            logits = self._passes.step(row)
        so_far = decode_after(self._finish.tokenizer, self._finish.before(row), row.generated).rstrip(REPLACEMENT)
        text.end(so_far)
        return Spoken(so_far, "interrupted", len(row.generated), first - begun, last - first)

    def _reason(self, completion: Completion, row: Row) -> Reason:
        if completion.finish_reason == "stop":
            return "stop"
        return "length" if row.limit == self._most else "context"

    def _leaves_room(self, row: Row, hidden: int) -> bool:
        if self.context is None:
            return True
        room = self.context - min(self._most, self.context // ROOM_SHARE)
        return len(row.prompt) <= (room if hidden == 0 else room * (ROOM_SHARE - 1) // ROOM_SHARE)
