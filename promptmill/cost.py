"""What a run has cost: tokens that a server counted, times the price that the user named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.files import read_json, write_json
from promptmill.run import RunFolder

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Of a million tokens, in whatever money the user thinks in.

    Attributes:
        prompt: of tokens of prompts.
        completion: of tokens generated.

    Raises:
        ConfigurationError: a price below 0.
    """

    prompt: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        for option, value in (("--price-in", self.prompt), ("--price-out", self.completion)):
            if not 0 <= value < float("inf"):
                raise ConfigurationError(f"{option} is {value}; it has to be 0 or more, a million tokens.")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION


def note_price(run: RunFolder, price: Price | None) -> None:
    """Have `promptmill status` and the report know the price; the latest one named holds."""
    if price is not None and recorded_price(run) != price:
        write_json(run.price, asdict(price))


def recorded_price(run: RunFolder) -> Price | None:
    """The price that was named last; None if none was."""
    value: dict[str, Any] | None = read_json(run.price)
    return None if value is None else Price(**value)
