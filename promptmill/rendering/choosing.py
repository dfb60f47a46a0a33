"""The chat template that a user chooses in place of the model's usual one."""

from __future__ import annotations

import copy
from typing import Any

from promptmill.errors import ConfigurationError

NONE = "none"
"""Prompts go to the model as they are, whether it is a chat model or not."""


def with_template(tokenizer: Any, chosen: str | None) -> Any:
    """The tokenizer with the chat template that is to be used; another one, as others may use it otherwise.

    Args:
        chosen: `none`, the name of one of the model's templates, or `@` and a template's text; None for the usual one.

    Raises:
        ConfigurationError: the model has no template of that name.
    """
    if chosen is None:
        return tokenizer
    other = copy.copy(tokenizer)
    other.chat_template = _template(tokenizer.chat_template, chosen)
    return other


def _template(templates: Any, chosen: str) -> str | None:
    if chosen == NONE:
        return None
    if chosen.startswith("@"):
        return chosen[1:]
    named = templates if isinstance(templates, dict) else {} if templates is None else {"default": templates}
    if chosen not in named:
        has = f"Its templates: {', '.join(sorted(named))}." if named else "It has none."
        raise ConfigurationError(
            f"The model has no chat template called {chosen}. {has} Give one of these, none, or @FILE with a template "
            "as --chat-template."
        )
    return str(named[chosen])
