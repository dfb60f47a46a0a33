"""Forward passes over one conversation, which keep what was computed from turn to turn where the model allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from promptmill.engine.decoder import Decoder
from promptmill.engine.model import Forward
from promptmill.engine.policy import PREFILL_TOKENS, Policy
from promptmill.engine.rows import Row
from promptmill.engine.ways import choose_decoder

_KEEPING = {"DynamicLayer", "DynamicSlidingWindowLayer"}


class Passes(Protocol):
    """Logits of shape [1, vocabulary] for one row."""

    def read(self, row: Row, should_stop: Callable[[], bool]) -> Tensor | None:
        """Compute all of the row's tokens; None if told to stop before that was done."""
        ...

    def step(self, row: Row) -> Tensor:
        """Compute the row's last token, all before it being computed already."""
        ...

    def forget(self) -> None:
        """Give the memory of the cache back."""
        ...


def passes_of(model: Any) -> Passes:
    """The way for a model: keeping its cache, or each prompt from its beginning."""
    forward = Forward.of(model)
    return KeepingPasses(forward) if _can_keep(forward) else AnewPasses(forward)


class KeepingPasses:
    """Of a conversation that grows, only what is new is computed."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._cache: Any = None
        self._seen: list[int] = []
        self._beyond = False

    @torch.inference_mode()
    def read(self, row: Row, should_stop: Callable[[], bool]) -> Tensor | None:
        """Compute what the cache does not hold yet, a bounded number of tokens at a time."""
        tokens = row.tokens
        self._keep_factors(row)
        self._keep(_shared(self._seen, tokens[:-1]))
        logits = None
        while len(self._seen) < len(tokens):
            if should_stop():
                return None
            logits = self._feed(tokens[len(self._seen) :][:PREFILL_TOKENS], row)
        return logits

    @torch.inference_mode()
    def step(self, row: Row) -> Tensor:
        """Compute one token."""
        rope = self._forward.longrope
        if rope is None or not rope.crosses(row):
            return self._feed([row.last], row)
        logits = self.read(row, lambda: False)
        assert logits is not None  # nobody stops it
        return logits

    def forget(self) -> None:
        """Drop the cache."""
        self._cache, self._seen = None, []

    def _keep_factors(self, row: Row) -> None:
        """Keep nothing that was computed with other rotary factors than the row has."""
        rope = self._forward.longrope
        beyond = rope is not None and rope.beyond(row)
        if beyond != self._beyond:
            self.forget()
        self._beyond = beyond

    def _keep(self, count: int) -> None:
        """Cut the cache back to so many tokens; a window that has moved on cannot be cut, and is made anew."""
        if count == len(self._seen):
            return
        layers = [] if self._cache is None else self._cache.layers
        if count == 0 or any(type(layer).__name__ != "DynamicLayer" for layer in layers):
            self.forget()
            return
        for layer in layers:
            layer.keys, layer.values = layer.keys[:, :, :count], layer.values[:, :, :count]
        del self._seen[count:]

    def _feed(self, tokens: Sequence[int], row: Row) -> Tensor:
        before, cache = len(self._seen), self._cache
        device = self._forward.device
        ids = torch.tensor([list(tokens)], dtype=torch.long, device=device)
        mask = torch.ones(1, before + len(tokens), dtype=torch.long, device=device)
        positions = torch.arange(before, before + len(tokens), device=device)[None]
        try:
            output = self._forward(ids, mask, positions, cache, rows=[row])
        except BaseException:
            self.forget()  # some layers have the new tokens, and some have not
            raise
        self._cache = output.past_key_values
        self._seen += tokens
        logits: Tensor = output.logits[:, -1]
        return logits


class AnewPasses:
    """Each prompt from its beginning, as the engine's batches decode it: for recurrent models and the like."""

    def __init__(self, forward: Forward) -> None:
        self._decoder: Decoder = choose_decoder(forward, Policy(slots=1, positions=1), way="batches")

    @torch.inference_mode()
    def read(self, row: Row, should_stop: Callable[[], bool]) -> Tensor | None:
        """Compute all tokens."""
        self._decoder.clear()
        if should_stop():
            return None
        self._decoder.admit([row])
        return self._decoder.forward([row.last])

    @torch.inference_mode()
    def step(self, row: Row) -> Tensor:
        """Compute one token."""
        return self._decoder.forward([row.last])

    def forget(self) -> None:
        """Drop the cache."""
        self._decoder.clear()


def _can_keep(forward: Forward) -> bool:
    """Whether the cache is a list of positions, to which any number of tokens may be added at a time."""
    if getattr(forward.model, "_is_stateful", False) or forward.cache_name != "past_key_values":
        return False
    try:
        layers = DynamicCache(config=forward.model.config).layers
    except Exception:  # a configuration that transformers doesn't know may raise anything
        return False
    return bool(layers) and {type(layer).__name__ for layer in layers} <= _KEEPING


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
