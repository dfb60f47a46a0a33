"""The loop of a chat: a line in, an order carried out or a completion told, until there are no more lines."""

from __future__ import annotations

from collections.abc import Iterable

from promptmill.chat.conversation import Conversation
from promptmill.chat.interrupts import Interrupts
from promptmill.chat.orders import Orders, is_order
from promptmill.chat.screen import Screen
from promptmill.chat.speaking import Speaker, Spoken
from promptmill.errors import PromptmillError


class Session:
    """A chat from its first line to its last."""

    def __init__(self, speaker: Speaker, conversation: Conversation, screen: Screen, interrupts: Interrupts) -> None:
        self._speaker = speaker
        self._conversation = conversation
        self._orders = Orders(conversation)
        self._screen = screen
        self._interrupts = interrupts
        self._left_out: frozenset[str] = frozenset()

    def run(self, lines: Iterable[str]) -> PromptmillError | None:
        """Deal with every line; returns the last error, each of which was told when it came."""
        trouble = None
        for line in lines:
            self._interrupts.pressed = False
            try:
                self._take(line)
            except PromptmillError as error:
                self._screen.end_completion()
                self._screen.remark(str(error))
                trouble = error
        return trouble

    def _take(self, line: str) -> None:
        if is_order(line):
            self._screen.remark(self._orders.carry_out(line.strip()))
        else:
            self._ask(line[1:] if line.startswith("//") else line)

    def _ask(self, prompt: str) -> None:
        fitted = self._speaker.fitted(self._conversation, prompt)
        if fitted.hidden:
            turns = "turn is" if fitted.hidden == 1 else f"{fitted.hidden} turns are"
            self._screen.remark(
                f"The context of {self._speaker.context:,} tokens is full: the oldest {turns} "
                "not shown to the model any more."
            )
        self._conversation.begin()
        spoken = self._speaker.speak(fitted.row, self._screen.write, lambda: self._interrupts.pressed)
        self._screen.end_completion()
        kept = bool(spoken.text.strip())
        if kept:
            self._conversation.add(prompt, spoken.text, fitted.request.messages)
        self._screen.remark(_told(spoken, kept))
        if left_out := self._speaker.left_out - self._left_out:
            self._left_out |= left_out
            self._screen.remark(
                f"The model writes special tokens that are not shown: {', '.join(sorted(left_out))}. "
                "--keep-special-tokens shows them."
            )


def _told(spoken: Spoken, kept: bool) -> str:
    count = f"{spoken.tokens:,} {'token' if spoken.tokens == 1 else 'tokens'}"
    speed = f", {spoken.tokens_per_second:.1f} tokens/s, the first after {spoken.first_seconds:.1f} s"
    what = {
        "stop": "",
        "length": "cut at --max-new-tokens",
        "context": "cut where the context is full",
        "interrupted": "stopped; this part stays in the history, /undo takes it back" if kept else "stopped",
    }[spoken.reason]
    without = "" if kept else "no text came, so the prompt is not in the history"
    return "; ".join(part for part in (f"{count}{speed if spoken.tokens else ''}", what, without) if part)
