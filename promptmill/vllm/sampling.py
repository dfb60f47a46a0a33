"""promptmill's sampling parameters in vLLM's words."""

from __future__ import annotations

from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.sampling import SamplingParameters

LEAST_TEMPERATURE = 0.01
MOST_TEMPERATURE = 2.0
"""vLLM 0.32 raises what is lower, silently, and refuses what is higher (`vllm/sampling_params.py`)."""


def require_sampling(sampling: SamplingParameters) -> None:
    """Refuse what vLLM would change or not take.

    Raises:
        ConfigurationError: says which option it is.
    """
    if not sampling.greedy and not LEAST_TEMPERATURE <= sampling.temperature <= MOST_TEMPERATURE:
        raise ConfigurationError(
            f"--temperature is {sampling.temperature:g}; vLLM takes 0 (greedy), or {LEAST_TEMPERATURE:g} to "
            f"{MOST_TEMPERATURE:g}. Choose another temperature, or --engine transformers."
        )


def require_same_choice(sampling: SamplingParameters) -> None:
    """Refuse what leaves other tokens to choose from than with the transformers engine; for runs that are begun anew.

    vLLM leaves out by min-p first and counts the nucleus among the rest; transformers does it the other way round.

    Raises:
        ConfigurationError: both are asked for.
    """
    if sampling.min_p and sampling.top_p < 1 and not sampling.greedy:
        raise ConfigurationError(
            f"--min-p is {sampling.min_p:g} and --top-p is {sampling.top_p:g}: vLLM applies these two in another order "
            "than the transformers engine, so that other tokens are left to choose from. Give --top-p 1 or --min-p 0, "
            "or choose --engine transformers."
        )


def sampling_arguments(sampling: SamplingParameters, *, seed: int, limit: int, ends: list[int]) -> dict[str, Any]:
    """The arguments of `vllm.SamplingParams` for one row.

    Args:
        seed: of the row.
        limit: most tokens of this row.
        ends: ids that end a completion; they come out as its last token.
    """
    return {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,  # 0 is off with vLLM as well; -1 was its older word for that
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": seed,
        "max_tokens": limit,
        "stop_token_ids": ends,
        "stop": list(sampling.stop),
        # vLLM needs the text only to look for stop strings; ours is decoded from the tokens, as with other engines.
        "detokenize": bool(sampling.stop),
    }
