"""How long the rows of a trial have to be: beyond each length at which a model begins to compute otherwise."""

from __future__ import annotations

import logging

from promptmill.engine.model import Forward, context_length
from promptmill.engine.policy import PREFILL_TOKENS

_LENGTHS = (
    "sliding_window",
    "attention_window_size",
    "window_size",
    "attention_chunk_size",
    "floor_scale",
    "original_max_position_embeddings",
)
"""Where configurations name windows, chunks, and where other scales or factors begin."""
_CPU_WORK = 10**11
"""Parameters times tokens of a trial on a CPU: with the slowest that is half a minute."""
_ROOM = 16
"""Tokens that the rows of a trial have beyond its reach."""

logger = logging.getLogger(__name__)


def trial_reach(forward: Forward) -> int:
    """The longest of the lengths that a trial can be made for; 0 for none.

    A trial compares with one pass over the whole row, so no row of it may cross to the long rotary factors.
    """
    reach = max((length for length in lengths_of(forward) if length <= _most(forward)), default=0)
    rope = forward.longrope
    return reach + _ROOM if rope is not None and reach < rope.length <= reach + _ROOM else reach


def say_untried(forward: Forward) -> None:
    """Log the lengths that a trial does not reach."""
    untried = [str(length) for length in lengths_of(forward) if length > _most(forward)]
    if untried:
        logger.info(
            "%s computes otherwise beyond %s tokens, which is too long for the trial of how to batch rows: "
            "rows of that length were not tried.",
            type(forward.model).__name__,
            " and ".join(untried),
        )


def lengths_of(forward: Forward) -> list[int]:
    """The lengths within the model's context, in rising order."""
    config = forward.model.config.get_text_config(decoder=True)
    found = {getattr(config, name, None) for name in _LENGTHS}
    if forward.longrope is not None:
        found.add(forward.longrope.length)
    context = context_length(forward.model.config)
    return sorted(
        length
        for length in found
        if isinstance(length, int) and length > 1 and (context is None or length + 2 * _ROOM <= context)
    )


def _most(forward: Forward) -> int:
    if forward.device.type != "cpu":
        return PREFILL_TOKENS
    parameters: int = sum(parameter.numel() for parameter in forward.model.parameters())
    return min(PREFILL_TOKENS, _CPU_WORK // max(1, parameters))
