"""What the engine has to know of a model, found out by asking it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from promptmill.engine.longrope import LongRope, longrope_of
from promptmill.engine.rows import Row
from promptmill.rendering import NEWEST, Renderer, Rendering

CACHE_NAMES = ("past_key_values", "cache_params", "state")
"""What models call their cache: the usual name, Mamba's and RWKV's."""


@dataclass
class Beats:
    """How many forward passes have ended."""

    count: int = 0


@dataclass(frozen=True)
class Forward:
    """Calls a causal language model with the arguments that it takes.

    Attributes:
        arguments: the names that the model's `forward` knows.
        beats: counts the passes.
        longrope: of a model with two sets of rotary factors.
    """

    model: Any
    arguments: frozenset[str]
    beats: Beats = field(default_factory=Beats, compare=False)
    longrope: LongRope | None = field(default=None, compare=False)

    @classmethod
    def of(cls, model: Any, beats: Beats | None = None) -> Forward:
        """Read the signature of `model.forward`."""
        return cls(model, frozenset(inspect.signature(model.forward).parameters), beats or Beats(), longrope_of(model))

    def without_cache(self) -> Forward:
        """The same for computing all tokens in each pass."""
        return Forward(self.model, self.arguments - set(CACHE_NAMES), self.beats)

    @property
    def cache_name(self) -> str | None:
        """The argument that the cache goes in as; None for a model without one."""
        return next((name for name in CACHE_NAMES if name in self.arguments), None)

    @property
    def device(self) -> torch.device:
        """Where the ids of the tokens go."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device if device.type != "meta" else self.model.device

    def __call__(
        self,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any,
        places: int = 1,
        *,
        rows: Sequence[Row] | None = None,
    ) -> Any:
        """One forward pass over ids [rows, n]; models that can be told compute logits of the last `places` only.

        With `rows` each row has the rotary factors that it has by itself; else the longest decides, as in the model.
        """
        caches = self.cache_name is not None
        known = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": places, "use_cache": caches}
        taken = {name: value for name, value in known.items() if name in self.arguments}
        if self.cache_name is not None and cache is not None:
            taken[self.cache_name] = cache
        rope = self.longrope
        with nullcontext() if rope is None or rows is None else rope.choosing(rope.far(rows, positions)):
            output = self.model(input_ids=ids, return_dict=True, **taken)
        self.beats.count += 1
        return output


def context_length(config: Any) -> int | None:
    """How many positions the model has; None where its configuration names no limit."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "max_seq_len"):
        size = getattr(text, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return None


def vocabulary(model: Any) -> int | None:
    """How many tokens the model has an embedding for; None where its embeddings are no table."""
    size = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return size if isinstance(size, int) else None


def end_tokens(generation_config: Any, tokenizer: Any, rendering: Rendering = NEWEST) -> frozenset[int]:
    """The ids that end a completion: of the generation configuration, of the tokenizer, of the template's turns."""
    configured = getattr(generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, (list, tuple)) else [configured]
    known = frozenset(int(item) for item in [*ids, tokenizer.eos_token_id] if item is not None)
    return known | Renderer(tokenizer, rendering).turn_ends
