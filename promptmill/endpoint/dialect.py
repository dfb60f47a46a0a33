"""What a server wants said in another way: found once a run, as each refuses what it does not know."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from promptmill.endpoint.faults import Refused
from promptmill.sampling import SamplingParameters

logger = logging.getLogger(__name__)

_STOPS = 4
"""OpenAI's most stop strings."""


@dataclass(frozen=True)
class Dialect:
    """How settings are said to a server.

    Attributes:
        left_out: settings that are not sent.
        most_tokens: what `max_tokens` is called.
        stops: most stop strings that are sent; all of them cut the text here.
        short: whether it takes requests for a few tokens.
    """

    left_out: tuple[str, ...] = ()
    most_tokens: str = "max_tokens"
    stops: int | None = None
    short: bool = True

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Dialect:
        """The one that was written down."""
        return cls(**{**value, "left_out": tuple(value.get("left_out", ()))})

    @property
    def seeds(self) -> bool:
        """Whether seeds are sent."""
        return "seed" not in self.left_out

    def say(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings as this server takes them."""
        said = {name: value for name, value in settings.items() if name not in self.left_out}
        if self.stops is not None and "stop" in said:
            said["stop"] = said["stop"][: self.stops]
        if "max_tokens" in said:
            said[self.most_tokens] = said.pop("max_tokens")
        return said


PLAIN = Dialect()


async def dialect_of(accepts: Callable[[Dialect], Awaitable[object]], sampling: SamplingParameters) -> Dialect:
    """The plainest that the server accepts the run's settings in; what the user asked for is never left out but a seed.

    Args:
        accepts: asks something short and plain; raises `Refused`.

    Raises:
        Refused: it takes them in none.
    """
    try:
        await accepts(PLAIN)
        return PLAIN
    except Refused as refused:
        first = refused
    for dialect in _barest(sampling):
        if await _is_accepted(accepts, dialect):
            return await _plainer(accepts, dialect)
    raise first


def _barest(sampling: SamplingParameters) -> Iterator[Dialect]:
    """Without all that may be left out, in each way that the rest can be said."""
    off = ("top_p",) if sampling.top_p == 1 or sampling.greedy else ()
    stops = _STOPS if len(sampling.stop) > _STOPS else None
    twins = (("repeat_penalty",), ("repetition_penalty",)) if sampling.repetition_penalty != 1 else ((),)
    for short, name, twin in product((True, False), ("max_tokens", "max_completion_tokens"), twins):
        yield Dialect((*off, *twin, "seed"), name, stops, short)


async def _plainer(accepts: Callable[[Dialect], Awaitable[object]], dialect: Dialect) -> Dialect:
    """One without what need not have been changed, seeds first."""
    for name in reversed(dialect.left_out):
        with_it = replace(dialect, left_out=tuple(one for one in dialect.left_out if one != name))
        if await _is_accepted(accepts, with_it):
            dialect = with_it
    if dialect.stops is not None and await _is_accepted(accepts, replace(dialect, stops=None)):
        dialect = replace(dialect, stops=None)
    return dialect


async def _is_accepted(accepts: Callable[[Dialect], Awaitable[object]], dialect: Dialect) -> bool:
    try:
        await accepts(dialect)
    except Refused:
        return False
    return True


def tell(base: str, dialect: Dialect) -> None:
    """Say what is said in another way."""
    if not dialect.seeds:
        logger.warning("The server at %s refuses `seed`, so none is sent: no row can be made twice the same.", base)
    others = [name for name in dialect.left_out if name != "seed"]
    if others:
        logger.info("The server at %s refuses %s, which is left out: it is off.", base, ", ".join(others))
    if dialect.stops is not None:
        logger.info("The server at %s takes %d stop strings; the rest cuts the texts here.", base, dialect.stops)
    if dialect.most_tokens != "max_tokens":
        logger.info("The server at %s wants %s instead of max_tokens.", base, dialect.most_tokens)
