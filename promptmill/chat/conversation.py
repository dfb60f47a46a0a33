"""A conversation: its turns, the request that the next prompt makes of them, and the rows that `/save` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptmill.engine.contract import Message, Request
from promptmill.sampling import row_seed


@dataclass(frozen=True)
class Turn:
    """A prompt and its completion.

    Attributes:
        messages: what the model was given, the prompt last; None for a base model, which is given the prompt.
    """

    prompt: str
    completion: str
    messages: tuple[Message, ...] | None

    def row(self) -> dict[str, Any]:
        """As a prompts file has it; the completion travels through to the dataset as a column of its own."""
        asked: dict[str, Any] = {"prompt": self.prompt} if self.messages is None else {"messages": list(self.messages)}
        return {**asked, "completion": self.completion}


class Conversation:
    """Turns, of which the model sees those from `first` on.

    A base model has no turns to see: it goes on from each prompt by itself, as in a dataset run.

    Args:
        is_chat: whether the model has a chat template.
        seed: of the chat; each completion derives its own from it, so that asking again gives another one.
    """

    def __init__(self, *, is_chat: bool, system: str | None, seed: int) -> None:
        self.is_chat = is_chat
        self.system = system
        self.turns: list[Turn] = []
        self.first = 0
        self._seed = seed
        self._asked = 0

    def request(self, prompt: str) -> Request:
        """What the engine is asked for the next prompt."""
        seed = row_seed(self._seed, f"chat-{self._asked}", 0)
        if not self.is_chat:
            return Request(0, seed, prompt=prompt)
        return Request(0, seed, messages=self._messages(prompt))

    def forget_oldest(self) -> bool:
        """Hide the oldest turn that the model still sees from it; False if there is none."""
        if not self.is_chat or self.first >= len(self.turns):
            return False
        self.first += 1
        return True

    def begin(self) -> None:
        """Count a completion that is begun: the next one has another seed, whatever becomes of this one."""
        self._asked += 1

    def add(self, prompt: str, completion: str, messages: tuple[Message, ...] | None) -> None:
        """Take in a turn that has ended."""
        self.turns.append(Turn(prompt, completion, messages))

    def undo(self) -> Turn | None:
        """Take the last turn back; None if there is none."""
        if not self.turns:
            return None
        turn = self.turns.pop()
        self.first = min(self.first, len(self.turns))
        return turn

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self.turns.clear()
        self.first = 0

    def _messages(self, prompt: str) -> tuple[Message, ...]:
        messages: list[Message] = [] if self.system is None else [{"role": "system", "content": self.system}]
        for turn in self.turns[self.first :]:
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": turn.completion})
        return (*messages, {"role": "user", "content": prompt})
