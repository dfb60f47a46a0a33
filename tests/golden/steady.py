"""Whether rows hang on rounding: a machine that rounds in another way has to make them all the same."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from promptmill.engine.contract import Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.sampling import SamplingParameters
from tests.engine.tiny import run

CHANGE = 1e-5
"""Of each weight, relative: a hundred times what float32 rounds."""
TRIALS = 16


def unsteady_rows(folder: Path, sampling: SamplingParameters, requests: Iterable[Request]) -> list[int]:
    """Positions of the rows that come out differently from a model whose weights are changed a little."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    asked = list(requests)
    plain = run(TransformersEngine(model, tokenizer, sampling), asked)
    found: set[int] = set()
    for trial in range(TRIALS):
        changed = run(TransformersEngine(_changed(model, trial), tokenizer, sampling), asked)
        found |= {one.position for one, other in zip(plain, changed, strict=True) if one != other}
    return sorted(found)


def _changed(model: Any, seed: int) -> Any:
    chance = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weights in other.parameters():
            weights.mul_(1 + CHANGE * torch.randn(weights.shape, generator=chance))
    return other
