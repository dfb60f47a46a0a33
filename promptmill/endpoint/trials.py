"""Does the server heed what it is told? Found out with a few short requests, as no server says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from promptmill.endpoint.faults import Refused
from promptmill.endpoint.record import Seeds
from promptmill.errors import ConfigurationError
from promptmill.sampling import SamplingParameters

Ask = Callable[..., Awaitable[str]]
_TOKENS = 16
_WILD = 2.0
"""OpenAI's highest temperature: two texts of 16 tokens are hardly ever the same by chance."""
_WILDEST: tuple[dict[str, Any], ...] = (
    {"temperature": _WILD, "top_p": 1.0},
    {"temperature": _WILD, "top_p": None},
    {"temperature": 1.0, "top_p": None},
    {},
)
"""Settings of trials, the first that the server takes: some refuse top_p 1, many a temperature above 1, some all but
the one that the run has."""
_PENALTIES = (9.0, 2.0)


async def seeds_of(ask: Ask, sampling: SamplingParameters) -> Seeds:
    """What the server does with a seed: the same one twice, then another."""
    if sampling.greedy:
        return "greedy"
    first = await ask(seed=1, most=_TOKENS)
    again = await ask(seed=1, most=_TOKENS)
    if first != again:
        return "ignored"
    # The same text for any seed says that the model was sure of its words, and nothing of seeds.
    return "honoured" if await ask(seed=2, most=_TOKENS) != first else "unknown"


async def require_heeded(ask: Ask, sampling: SamplingParameters) -> None:
    """Refuse settings that the server ignores.

    At the highest temperature two seeds give different texts, and the same one if only the likeliest token is allowed.
    A setting of a trial that it refuses is one that it knows.

    Raises:
        ConfigurationError: says which option it is.
    """
    wild = await _wildest(ask) if not sampling.greedy or sampling.top_k or sampling.min_p else {}
    # At a lower temperature a model that is sure of its words gives the same text twice as well.
    if not sampling.greedy and wild.get("temperature") == _WILD and await _fixed(ask, wild, filled=True):
        raise ConfigurationError(
            f"--temperature is {sampling.temperature}, and the server gives one and the same text even at {_WILD:g}: "
            "it does not sample. Give --temperature 0, or have the server sample."
        )
    if sampling.top_k and not await _fixed(ask, {**wild, "top_k": 1}):
        raise _ignored("--top-k", sampling.top_k)
    if sampling.min_p and not await _fixed(ask, {**wild, "min_p": 1.0}):
        raise _ignored("--min-p", sampling.min_p)
    if sampling.repetition_penalty != 1 and await _is_one_text(ask):
        raise _ignored("--repetition-penalty", sampling.repetition_penalty)


async def _wildest(ask: Ask) -> dict[str, Any]:
    for wild in _WILDEST[:-1]:
        try:
            await ask(seed=1, most=_TOKENS, **wild)
        except Refused:
            continue
        return wild
    return _WILDEST[-1]


async def _fixed(ask: Ask, knobs: dict[str, Any], *, filled: bool = False) -> bool:
    """Whether two seeds give the same text with these settings; with `filled`, one that says anything."""
    try:
        first, second = [await ask(seed=seed, most=_TOKENS, **knobs) for seed in (1, 2)]
    except Refused:
        return True
    return first == second and bool(first or not filled)


async def _is_one_text(ask: Ask) -> bool:
    """Whether no penalty and a high one give the same text."""
    for high in _PENALTIES:
        try:
            texts = {
                await ask(most=_TOKENS, temperature=0.0, repetition_penalty=penalty, repeat_penalty=penalty)
                for penalty in (1.0, high)
            }
        except Refused:
            continue
        return len(texts) == 1
    return False


def _ignored(option: str, value: float) -> ConfigurationError:
    return ConfigurationError(
        f"{option} is {value}, and the server ignores it, as a trial with extreme values shows. Leave it out."
    )
