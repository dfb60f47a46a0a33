"""A chat template is tried with texts that are known: what it leaves out, refuses, and puts around an answer.

Templates come with models, and many do not do what a user takes for granted: some know no system prompt, some
open no turn for the assistant. A dataset made with such a one looks like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from promptmill.errors import ConfigurationError

Message = dict[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""Messages, and whether a turn is opened for the assistant → text."""

SYSTEM, USER, ANSWER, NEXT = "Qsystemq", "Quserq", "Qanswerq", "Qnextq"
"""Texts that no template has: they are trimmed by none, and stand in the rendering or do not."""

_MEND = "Mend chat_template.jinja (or chat_template in tokenizer_config.json) in the model's folder"
_USER = {"role": "user", "content": USER}
_ANSWER = {"role": "assistant", "content": ANSWER}
_NEXT = {"role": "user", "content": NEXT}


class ChatTrial:
    """What a chat template does with known texts; each question is rendered once."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._left_out: dict[str, bool] = {"user": False}

    def leaves_out(self, role: str) -> bool:
        """Whether messages of a role do not come to the model; False where the template refuses this order of them."""
        if role not in self._left_out:
            message = {"role": role, "content": SYSTEM}
            messages = {"system": [message, _USER], "assistant": [_USER, message, _NEXT]}
            rendered = self._attempt(messages.get(role, [_USER, _ANSWER, message]))
            self._left_out[role] = isinstance(rendered, str) and SYSTEM not in rendered
        return self._left_out[role]

    def require_prompt(self, model: str, *, alone: bool) -> None:
        """Refuse a template that a prompt does not come through.

        Args:
            model: its name, for the message.
            alone: whether prompts are single messages; conversations may have what the template asks for.

        Raises:
            ConfigurationError: it does not.
        """
        rendered = self._attempt([_USER], opened=True)
        if isinstance(rendered, Exception):
            if alone:
                raise ConfigurationError(
                    f"The chat template of {model} takes no prompt: {_said(rendered)}. {_MEND}, or choose another."
                ) from rendered
        elif USER not in rendered:
            what = "leaves out the prompt" if rendered.strip() else "is empty"
            raise ConfigurationError(
                f"The chat template of {model} {what}: the model would never see what it is asked. {_MEND}, or take it "
                "away there: without one the model goes on from the prompts as they are."
            )

    def require_system_prompt(self, model: str) -> None:
        """Refuse a system prompt that would not come to the model.

        Raises:
            ConfigurationError: says what the template does, and where else the text may stand.
        """
        rendered = self._attempt([{"role": "system", "content": SYSTEM}, _USER], opened=True)
        if isinstance(rendered, Exception):
            what = f"refuses a system prompt: {_said(rendered)}"
        elif SYSTEM not in rendered:
            what = "leaves out the system prompt: the model would never see it"
        else:
            return
        raise ConfigurationError(
            f"The chat template of {model} {what}. Put the text in front of each prompt instead, as in "
            "--template 'Be brief. {{ prompt }}', and leave out --system-prompt."
        )

    def header(self) -> str:
        """What opens the assistant's turn in a conversation, where the template does not put it behind a prompt."""
        alone, opened = self._attempt([_USER]), self._attempt([_USER], opened=True)
        whole = self._attempt([_USER, _ANSWER])
        if not isinstance(alone, str) or alone != opened or not isinstance(whole, str) or whole.count(ANSWER) != 1:
            return ""
        before = whole.split(ANSWER)[0]
        header = before[len(alone) :] if before.startswith(alone) else ""
        return header if header.strip() else ""

    def opens_user(self) -> str:
        """The last line of what stands before each text of the user; empty where there is no such thing."""
        first, next_one = self._attempt([_USER]), self._attempt([_USER, _ANSWER, _NEXT])
        if not (isinstance(first, str) and USER in first):
            return ""
        before = first.split(USER)[0]
        if isinstance(next_one, str) and ANSWER in next_one and NEXT in next_one:
            between = next_one.split(ANSWER)[1].split(NEXT)[0]
            # What both end with; they begin with other things, as the begin token and the end of a turn.
            pairs = zip(reversed(before), reversed(between), strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            before = before[len(before) - same :]
        return before.strip().rpartition("\n")[2]

    def behind_answer(self) -> str:
        """What follows the assistant's text in a conversation."""
        whole, longer = self._attempt([_USER, _ANSWER]), self._attempt([_USER, _ANSWER, _NEXT])
        if isinstance(whole, str) and whole.count(ANSWER) == 1 and (behind := whole.split(ANSWER)[1]).strip():
            return behind
        if isinstance(longer, str) and longer.count(ANSWER) == 1 and NEXT in longer:
            return longer.split(ANSWER)[1].split(NEXT)[0]
        return ""

    def _attempt(self, messages: Sequence[Message], *, opened: bool = False) -> str | Exception:
        try:
            return self._render(messages, opened)
        except Exception as error:  # a template may raise anything
            return error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
