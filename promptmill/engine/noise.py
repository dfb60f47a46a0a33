"""Random numbers that are hashed, not drawn: one for each row seed, step and token.

There is no generator whose state could be lost or shared, so a row's randomness depends on neither
its batch nor on how often the program was started.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), as signed integers.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def gumbel_noise(seeds: Sequence[int], steps: Sequence[int], tokens: Tensor) -> Tensor:
    """Standard Gumbel numbers for tokens of shape [rows, tokens] or [tokens], as float64 [rows, tokens]."""
    numbers = _uniforms(seeds, steps, tokens)
    return numbers.log_().neg_().log_().neg_()


def _uniforms(seeds: Sequence[int], steps: Sequence[int], tokens: Tensor) -> Tensor:
    """Numbers in (0, 1), even and independent for any two triples of seed, step and token."""
    seed = torch.tensor(seeds, dtype=torch.int64, device=tokens.device)[:, None]
    step = torch.tensor(steps, dtype=torch.int64, device=tokens.device)[:, None]
    state = _mix(_mix(seed + _GOLDEN) + (step + 1) * _GOLDEN)
    mixed = _mix(state + (tokens + 1) * _GOLDEN)
    numbers: Tensor = (_shifted(mixed, 12).double() + 0.5).mul_(2.0**-52)
    return numbers


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    mixed: Tensor = state ^ _shifted(state, 31)
    return mixed


def _shifted(state: Tensor, bits: int) -> Tensor:
    """A logical shift to the right: torch's own repeats the sign bit."""
    shifted: Tensor = (state >> bits) & (2 ** (64 - bits) - 1)
    return shifted
