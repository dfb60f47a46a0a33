"""Finds the fastest way of decoding that gives a model's own logits."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from promptmill.engine.batches import Batches
from promptmill.engine.contract import Request
from promptmill.engine.decoder import Decoder
from promptmill.engine.failures import is_out_of_memory
from promptmill.engine.model import Forward
from promptmill.engine.policy import SLACK, Policy
from promptmill.engine.reach import say_untried, trial_reach
from promptmill.engine.rows import Row
from promptmill.engine.slots import Slots

Way = Literal["slots", "batches"]

TOLERANCE, ROUGH_TOLERANCE = 0.01, 0.3
"""How far logits may be off, as part of their largest: in float32, and in all that is coarser.

A mask or a position that is wrong is off by far more."""

logger = logging.getLogger(__name__)


def choose_decoder(forward: Forward, policy: Policy, way: Way | None = None, *, slots_work: bool = False) -> Decoder:
    """The first way whose logits are the model's own: slots, static batches, batches without a cache.

    Args:
        slots_work: that of slots are, as an earlier trial has shown.
    """
    name = type(forward.model).__name__
    if not slots_work:
        say_untried(forward)
    if way != "batches":
        if slots_work or (reason := why_no_slots(forward)) is None:
            return Slots(forward, _layers(forward), policy)
        logger.info("%s: rows are generated in static batches: %s", name, reason)
    if (reason := _why_not(forward, Batches(forward))) is None:
        return Batches(forward)
    logger.warning("%s: every step computes all tokens anew, which is slow: with its cache, %s", name, reason)
    return Batches(forward.without_cache())


def why_no_slots(forward: Forward) -> str | None:
    """What keeps a model from being decoded in slots; None if nothing does."""
    if getattr(forward.model, "_is_stateful", False):
        return "it is a recurrent model, whose state is not a list of positions."
    if not {"past_key_values", "attention_mask"} <= forward.arguments:
        return "it takes no cache of keys and values with a mask."
    try:
        layers = DynamicCache(config=forward.model.config).layers
    except Exception as error:  # a configuration that transformers doesn't know may raise anything
        return f"its cache can't be made: {type(error).__name__}: {error}"
    if other := {type(layer).__name__ for layer in layers} - {"DynamicLayer", "DynamicSlidingWindowLayer"}:
        return f"its cache has layers of its own kind ({', '.join(sorted(other))})."
    return _why_not(
        forward, Slots(forward, len(layers), Policy(slots=4, positions=4 * (trial_reach(forward) + 2 * SLACK)))
    )


def _why_not(forward: Forward, decoder: Decoder) -> str | None:
    """What went wrong in a trial; None if nothing did."""
    try:
        off = _difference(forward, decoder)
    except Exception as error:  # whatever it is, the way is not for this model
        if is_out_of_memory(error):
            raise  # that says nothing about the way, and a slower one would not help
        return f"a trial failed with {type(error).__name__}: {error}"
    finally:
        decoder.clear()
    rough = forward.model.dtype != torch.float32 or getattr(forward.model, "is_quantized", False)
    allowed = ROUGH_TOLERANCE if rough else TOLERANCE
    return None if off <= allowed else f"in a trial the logits were off by {off:.2g} of their size."


def position_bytes(forward: Forward) -> dict[torch.device, int]:
    """Bytes that one position of one row takes in the cache, on each device; empty if it can't be told."""
    ids = torch.ones(1, 4, dtype=torch.long, device=forward.device)
    with torch.inference_mode():
        output = forward(ids, torch.ones_like(ids), torch.arange(4, device=ids.device)[None], None)
    sizes: dict[torch.device, int] = {}
    for layer in getattr(output.get("past_key_values"), "layers", []):
        for part in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            if part is not None:
                sizes[part.device] = sizes.get(part.device, 0) + part.nbytes // 4
    return sizes


def _layers(forward: Forward) -> int:
    return len(DynamicCache(config=forward.model.config).layers)


@torch.inference_mode()
def _difference(forward: Forward, decoder: Decoder) -> float:
    """How far a decoder's logits are from those of the rows by themselves, as part of the largest.

    Rows of different length, where that is possible, begin; another joins them, where that is
    possible; one leaves.
    """
    reach = trial_reach(forward)
    lengths = (reach + 6,) * 3 if decoder.even else (reach + 9, 4, reach + 6)
    first, second, third = map(_row, lengths)
    begin = [first, second] if decoder.refills else [first, second, third]
    decoder.admit(begin)
    steps = [_step(decoder, begin)]
    if decoder.refills:
        decoder.admit([third])
        steps.append(_step(decoder, [first, second, third]))
    decoder.keep([2, 1])
    steps += [_step(decoder, [third, second]) for _ in range(2)]
    alone = {row: _alone(forward, row) for row in (first, second, third)}
    return max(_distance(logits, alone[row][place - row.length]) for step in steps for row, place, logits in step)


def _step(decoder: Decoder, rows: list[Row]) -> list[tuple[Row, int, Tensor]]:
    """One pass, after which each row goes on; of each the place in it, and the logits there."""
    logits = decoder.forward([row.last for row in rows])
    found = [(row, row.length - 1, line) for row, line in zip(rows, logits, strict=True)]
    for row in rows:
        row.generated.append(11)
    return found


def _row(length: int) -> Row:
    return Row(Request(position=0, seed=0, prompt=""), [(7 * place) % 89 + 3 for place in range(length)], limit=8)


def _alone(forward: Forward, row: Row) -> Tensor:
    """The model's own logits at the last places of a row, those that were generated, from one pass over all of it."""
    ids = torch.tensor([row.tokens], device=forward.device)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    logits: Tensor = forward(ids, torch.ones_like(ids), positions, None, places=len(row.generated) + 1).logits[0]
    return logits


def _distance(one: Tensor, other: Tensor) -> float:
    largest = other.float().abs().max().clamp(min=1e-6)
    return float((one.float() - other.float()).abs().max() / largest)
