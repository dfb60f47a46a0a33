"""Does the server heed what it is told? Found out with a few short requests, as no server says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from promptmill.endpoint.record import Seeds
from promptmill.errors import ConfigurationError
from promptmill.sampling import SamplingParameters

Ask = Callable[..., Awaitable[str]]
_TOKENS = 16
_WILD = 2.0
"""OpenAI's highest temperature: two texts of 16 tokens are hardly ever the same by chance."""


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

    Raises:
        ConfigurationError: says which option it is.
    """
    if not sampling.greedy and await _fixed(ask, filled=True):
        raise ConfigurationError(
            f"--temperature is {sampling.temperature}, and the server gives one and the same text even at {_WILD:g}: "
            "it does not sample. Give --temperature 0, or have the server sample."
        )
    if sampling.top_k and not await _fixed(ask, top_k=1):
        raise _ignored("--top-k", sampling.top_k)
    if sampling.min_p and not await _fixed(ask, min_p=1.0):
        raise _ignored("--min-p", sampling.min_p)
    if sampling.repetition_penalty != 1:
        texts = {await ask(most=_TOKENS, temperature=0.0, repetition_penalty=p, repeat_penalty=p) for p in (1.0, 9.0)}
        if len(texts) == 1:
            raise _ignored("--repetition-penalty", sampling.repetition_penalty)


async def _fixed(ask: Ask, *, filled: bool = False, **knobs: float) -> bool:
    """Whether two seeds give the same text at the highest temperature; with `filled`, one that says anything."""
    first, second = [await ask(seed=seed, most=_TOKENS, temperature=_WILD, top_p=1.0, **knobs) for seed in (1, 2)]
    return first == second and bool(first or not filled)


def _ignored(option: str, value: float) -> ConfigurationError:
    return ConfigurationError(
        f"{option} is {value}, and the server ignores it, as a trial with extreme values shows. Leave it out."
    )
