"""The model's own generation configuration: what of it a run follows, and what it recommends beyond that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError
from promptmill.sampling import SamplingParameters

FILE = "generation_config.json"
CONSTRAINTS = (
    "sequence_bias", "no_repeat_ngram_size", "bad_words_ids", "min_length", "min_new_tokens", "forced_bos_token_id",
    "forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
)  # fmt: skip
"""What forbids or forces tokens, and is honoured (`promptmill.engine.constraints`)."""
_ENDS = ("eos_token_id", "bos_token_id", "pad_token_id")
_FOLLOWED = (*_ENDS, *CONSTRAINTS, "stop_strings")
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_OF_TRANSFORMERS = {"top_k": 50, "temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0}
"""What old versions wrote into each file, whether anybody had chosen it or not."""
_OTHER = (
    "num_beams", "num_beam_groups", "num_return_sequences", "penalty_alpha", "guidance_scale", "typical_p",
    "epsilon_cutoff", "eta_cutoff", "watermarking_config", "prompt_lookup_num_tokens", "force_words_ids",
)  # fmt: skip
_USUAL = (None, False, 0, 1, 1.0)


def read_generation_config(folder: str | Path) -> dict[str, Any]:
    """What the file beside a model says; nothing if there is none.

    Raises:
        EngineError: it cannot be read.
    """
    path = Path(folder) / FILE
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{path} cannot be read ({error}). Put it there again whole, or move it away: a model can do without it."
        ) from error
    if not isinstance(value, dict):
        raise EngineError(f"{path} is no object of settings. Put the right file there, or move it away.")
    return value


def followed(folder: str | Path) -> Any:
    """A generation configuration of what a run follows: ends, and what is forbidden or forced.

    The rest (beams, caches, other models that assist) would only change how transformers' own `generate` works.

    Returns:
        A `GenerationConfig`; None where the model has no such file.

    Raises:
        EngineError: the file cannot be read, or has a value that transformers does not take.
    """
    from transformers import GenerationConfig

    values = read_generation_config(folder)
    if not values:
        return None
    try:
        return GenerationConfig(**{name: values[name] for name in _FOLLOWED if values.get(name) is not None})
    except (ValueError, TypeError) as error:
        raise EngineError(f"{Path(folder) / FILE} has a value that transformers does not take: {error}") from error


def recommended(values: dict[str, Any], sampling: SamplingParameters) -> dict[str, Any]:
    """The sampling settings that the model's file recommends and the run does not have.

    Args:
        values: what the file says.
    """
    only = ("repetition_penalty",) if values.get("do_sample") is False or sampling.greedy else _SAMPLING
    given = {name: values[name] for name in only if isinstance(values.get(name), (int, float))}
    return {
        name: value
        for name, value in given.items()
        if value != getattr(sampling, name) and value != _OF_TRANSFORMERS.get(name)
    }


def recommendation(folder: str | Path, sampling: SamplingParameters) -> str | None:
    """A sentence on what of the file the run does not follow; None if it follows all of it.

    Raises:
        EngineError: the file cannot be read.
    """
    values, told = read_generation_config(folder), []
    if wanted := recommended(values, sampling):
        options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in wanted.items())
        told.append(
            f"{FILE} recommends {listed(wanted)}, and this run has other values; it follows them with {options}."
        )
    # What the file asks for that no run does, as beams.
    if other := {name: values[name] for name in _OTHER if name in values and values[name] not in _USUAL}:
        told.append(f"{FILE} has {listed(other)}, which no run follows: each row is one sample.")
    return " ".join(told) or None


def listed(values: dict[str, Any]) -> str:
    """Settings and their values, as a sentence has them."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
