"""A chat from its settings to its end, on the standard streams."""

from __future__ import annotations

import logging
import sys

from promptmill.chat.conversation import Conversation
from promptmill.chat.interrupts import Interrupts
from promptmill.chat.lines import is_interactive, piped_lines, typed_lines
from promptmill.chat.opening import OpenedModel, open_model
from promptmill.chat.orders import WORDS
from promptmill.chat.screen import Screen
from promptmill.chat.session import Session
from promptmill.chat.settings import ChatSettings
from promptmill.chat.speaking import Speaker
from promptmill.errors import PromptmillError


def talk(settings: ChatSettings) -> PromptmillError | None:
    """Load the model and talk until the lines end.

    Returns:
        The last error about a line of a pipe, where nobody sees it pass by; None at a terminal.

    Raises:
        PromptmillError: the model cannot be had or loaded; see `open_model`.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its hints are for those who call `generate`
    screen, interactive = Screen(), is_interactive()
    screen.remark(f"Loading {settings.model}.")
    opened = open_model(settings)
    logging.getLogger("promptmill").setLevel(logging.WARNING)
    screen.remark(_greeting(opened, interactive))
    conversation = Conversation(is_chat=opened.is_chat_model, system=settings.system, seed=settings.seed)
    speaker = Speaker(opened.loaded, settings.sampling, keep_special=settings.keep_special_tokens)
    interrupts = Interrupts()
    session = Session(speaker, conversation, screen, interrupts)
    if not interactive:
        with interrupts.ending():
            return session.run(piped_lines(sys.stdin.buffer, interrupts))
    with interrupts.caught():
        session.run(typed_lines(screen, interrupts, WORDS))
    return None


def _greeting(opened: OpenedModel, interactive: bool) -> str:
    lines = [opened.summary]
    if not opened.is_chat_model:
        lines.append(
            "It has no chat template (a base model): it goes on from the text of each prompt by itself, without the "
            "history, as in a dataset run."
        )
    if interactive:
        lines.append("/help lists what you can do, Ctrl-C stops an answer, Ctrl-D leaves.")
    return "\n".join(lines)
