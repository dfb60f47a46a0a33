"""Before anything is loaded: whether prompts come to the model at all, and the first one as it gets it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.rendering.dates import asks_for_date, with_date
from promptmill.rendering.renderer import Renderer
from promptmill.rendering.rules import Rendering
from promptmill.rendering.trial import Message

logger = logging.getLogger(__name__)

_MOST = 600
"""Characters of the first prompt that the log has."""


def rendering_of(tokenizer: Any, begun: str, *, split: bool = False) -> Rendering:
    """The rules of a run that begins: with its date, where the chat template asks for one.

    Args:
        begun: when the run was begun, as `2026-12-01T09:30:00Z`.
        split: whether control tokens in what users wrote are read as text.

    Raises:
        ConfigurationError: the model has several chat templates, and none of them is the usual one.
    """
    template = _template(tokenizer)
    if not asks_for_date(template):
        return Rendering(split=split)
    try:
        with_date(template, begun)
    except ValueError as error:
        logger.warning("The chat template puts the date of the day into prompts, so rows differ by it: %s.", error)
        return Rendering(split=split)
    logger.info("The chat template puts a date into prompts: %s, when the run was begun.", begun.partition("T")[0])
    return Rendering(moment=begun, split=split)


def require_template(renderer: Renderer, model: str, *, chats: bool, system_prompt: bool) -> None:
    """Refuse a chat template through which prompts, or the system prompt, do not come to the model.

    Args:
        model: its name, for messages.
        chats: whether prompts are conversations, which may have what a template asks for.

    Raises:
        ConfigurationError: says what the template does, and what can be done.
    """
    renderer.trial.require_prompt(model, alone=not chats)
    if system_prompt:
        renderer.trial.require_system_prompt(model)


def say_prompt(which: str, renderer: Renderer, prompt: str | None, messages: Sequence[Message] | None) -> str | None:
    """Log a prompt as the model gets it: what stands around it is the likeliest thing to be wrong.

    Args:
        which: what it is called, as `The first prompt`.

    Returns:
        Its text as the model gets it, shortened; None if it cannot be rendered.
    """
    try:
        tokens = renderer.tokens(prompt, messages)
    except Exception as error:  # of this row alone; it becomes a row of error, and others may do
        logger.warning("%s can't be rendered: %s", which, error)
        return None
    text = shortened(renderer.decoded(tokens))
    logger.info("%s as the model gets it, %d tokens: %r", which, len(tokens), text)
    return text


def shortened(text: str) -> str:
    """The beginning and the end of a long text."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"


def _template(tokenizer: Any) -> str:
    if isinstance(tokenizer.chat_template, dict) and "default" not in tokenizer.chat_template:
        names = ", ".join(sorted(tokenizer.chat_template))
        raise ConfigurationError(
            f"The model has several chat templates ({names}), and none of them is called default. Name the one that is "
            f"meant: --chat-template {names.partition(',')[0]}"
        )
    return "" if tokenizer.chat_template is None else str(tokenizer.get_chat_template())
