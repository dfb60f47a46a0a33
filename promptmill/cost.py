"""What a run has cost: tokens that a server counted, times the price that the user named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from promptmill.errors import ConfigurationError, Interrupted
from promptmill.files import read_json, write_json
from promptmill.parquet import read_parquet
from promptmill.plan import PromptsManifest, complete_shards
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.slurm.shards import chunks_of

_MILLION = 1_000_000
_REFRESH_SECONDS = 15.0


class CostReached(Interrupted):
    """The rows cost what the user wants to spend at most; they are on disk."""


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


class Budget:
    """What the rows of a run cost, those of other processes included, while one shard is filled.

    Args:
        shard: the one that this process fills.
        most: begin no more rows at this cost.
    """

    def __init__(
        self,
        run: RunFolder,
        manifest: PromptsManifest,
        shard: int,
        price: Price,
        most: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._manifest = manifest
        self._shard = shard
        self._price = price
        self._most = most
        self._clock = clock
        self._own = _of_chunks(chunks_of(run, shard))
        self._looked = float("-inf")
        self._others = (0, 0)

    @property
    def cost(self) -> float:
        """The cost so far."""
        if self._clock() - self._looked >= _REFRESH_SECONDS:
            self._others, self._looked = self._on_disk(), self._clock()
        return self._price.of(self._own[0] + self._others[0], self._own[1] + self._others[1])

    @property
    def reached(self) -> bool:
        """Whether no more rows are to be begun."""
        return self.cost >= self._most

    def add(self, row: Row) -> None:
        """Count a row that this process made."""
        self._own = (self._own[0] + (row.prompt_tokens or 0), self._own[1] + (row.completion_tokens or 0))

    def require(self) -> None:
        """See that there is something left to spend.

        Raises:
            CostReached: there is not.
        """
        if self.reached:
            raise CostReached(
                f"The rows so far cost {shown_cost(self.cost)}, and --max-cost is {self._most:g}. They are committed; "
                "start the same command with a higher --max-cost to go on."
            )

    def _on_disk(self) -> tuple[int, int]:
        """Tokens of prompts and of completions in all other shards."""
        complete = complete_shards(self._run, self._manifest)
        found = [(one.counts.prompt_tokens, one.counts.completion_tokens) for one in complete.values()]
        begun = set(range(len(self._manifest.shards))) - {*complete, self._shard}
        found += [_of_chunks(chunks_of(self._run, shard)) for shard in begun]
        return sum(prompt for prompt, _ in found), sum(completion for _, completion in found)


def shown_cost(cost: float) -> str:
    """A cost for people: two digits after the point, and more where it is small."""
    return f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.2g}"


def _of_chunks(chunks: list[Path]) -> tuple[int, int]:
    sums = [0, 0]
    for chunk in chunks:
        try:
            table = read_parquet(chunk, columns=["prompt_tokens", "completion_tokens"])
        except (pa.ArrowException, OSError):
            continue  # damaged: found and mended when the shard is next filled
        for place, column in enumerate(table.columns):
            sums[place] += pc.sum(column).as_py() or 0
    return sums[0], sums[1]
