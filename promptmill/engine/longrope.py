"""Positions of models that have two sets of rotary factors: one for short sequences, one for long (longrope).

transformers takes the set for a whole pass, by the largest position in it: in a batch, the longest row would decide
for all. Here each row has the set that it has by itself. See docs/decisions/0023-long-factors.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from promptmill.engine.rows import Row

_NAME = "longrope"


@dataclass(frozen=True)
class LongRope:
    """Which factors the positions of a row get.

    Attributes:
        modules: those that turn positions into angles.
        length: tokens up to which a sequence has the short factors.
        anew: whether a row that grows beyond is computed anew from its beginning, as the model's own `generate`
            does for Phi-3; else what was computed stays, and the long factors begin with the next token.
    """

    modules: tuple[Any, ...]
    length: int
    anew: bool

    def beyond(self, row: Row) -> bool:
        """Whether all positions of the row, from the first on, have the long factors."""
        return (row.length if self.anew else len(row.prompt)) > self.length

    def crosses(self, row: Row) -> bool:
        """Whether the row's last token takes it beyond, so that all before it has to be computed anew."""
        return self.anew and bool(row.generated) and row.length == self.length + 1

    def far(self, rows: Sequence[Row], positions: Tensor) -> Tensor:
        """Which positions [rows, n] have the long factors."""
        beyond = torch.tensor([self.beyond(row) for row in rows], device=positions.device)[:, None]
        return beyond | (torch.zeros_like(positions, dtype=torch.bool) if self.anew else positions >= self.length)

    @contextmanager
    def choosing(self, far: Tensor) -> Iterator[None]:
        """Inside, a pass over positions [rows, n] has the long factors where `far` says so, and the short elsewhere."""
        with ExitStack() as stack:
            for module in self.modules:
                stack.enter_context(_replaced(module, self._chooser(module.forward, far)))
            yield

    def _chooser(self, whole: Callable[..., Any], far: Tensor) -> Callable[..., tuple[Tensor, ...]]:
        some, every = bool(far.any()), bool(far.all())

        def forward(states: Tensor, position_ids: Tensor, *rest: Any, **more: Any) -> tuple[Tensor, ...]:
            beyond = position_ids.new_full((position_ids.shape[0], 1), self.length)
            # One column more, of a position that calls for the long factors, and is cut off again.
            longest = torch.cat([position_ids, beyond], dim=-1)
            if every:
                return tuple(part[:, :-1] for part in whole(states, longest, *rest, **more))
            short = whole(states, position_ids.clamp(max=self.length - 1), *rest, **more)
            if not some:
                return tuple(short)
            long = whole(states, longest, *rest, **more)
            return tuple(
                torch.where(far.to(one.device)[..., None], other[:, :-1], one)
                for one, other in zip(short, long, strict=True)
            )

        return forward


def longrope_of(model: Any) -> LongRope | None:
    """What there is to know of a model with two sets of factors; None for any other."""
    modules = tuple(module for module in model.modules() if _NAME in _types(module))
    lengths = [length for module in modules if (length := _length(module)) is not None]
    if not lengths:
        return None
    return LongRope(modules, min(lengths), _computes_anew(model, min(lengths)))


def _types(module: Any) -> list[Any]:
    """The kinds of rotary positions that a module makes; some have one for each type of layer."""
    kind = getattr(module, "rope_type", None)
    return list(kind.values()) if isinstance(kind, dict) else [kind]


def _length(module: Any) -> int | None:
    parameters = getattr(module.config, "rope_parameters", None) or {}
    for part in (parameters, *parameters.values()):
        if isinstance(part, dict) and part.get("rope_type") == _NAME:
            return int(part["original_max_position_embeddings"])
    return None


def _computes_anew(model: Any, length: int) -> bool:
    """Whether the model's `generate` drops a cache of `length` positions for the next token: it is asked."""
    cache = DynamicCache()
    nothing = torch.empty(1, 1, length, 0)
    cache.update(nothing, nothing, 0)
    ids = torch.zeros(1, length + 1, dtype=torch.long)
    try:
        inputs = model.prepare_inputs_for_generation(
            ids, past_key_values=cache, attention_mask=torch.ones_like(ids), use_cache=True, next_sequence_length=1
        )
    except Exception:  # code that comes with a model may want other arguments
        return False
    return inputs.get("past_key_values") is None


@contextmanager
def _replaced(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before
