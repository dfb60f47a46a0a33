"""What a run has cost: tokens that a server counted, times the price that the user named."""

from __future__ import annotations

import logging
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
from promptmill.shard import ShardCounts
from promptmill.slurm.shards import chunks_of

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class _Tokens:
    """Tokens of some rows, and the rows of which nobody counted them."""

    prompt: int = 0
    completion: int = 0
    uncounted: int = 0
    longest_prompt: int = 0

    @classmethod
    def of(cls, counts: ShardCounts, longest_prompt: int | None = None) -> _Tokens:
        """Those of a shard; where the longest prompt is not known, as long as they are on the average."""
        rows = counts.rows - counts.error - counts.uncounted
        mean = -(-counts.prompt_tokens // rows) if rows > 0 else 0
        longest = mean if longest_prompt is None else longest_prompt
        return cls(counts.prompt_tokens, counts.completion_tokens, counts.uncounted, longest)

    def __add__(self, other: _Tokens) -> _Tokens:
        return _Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.uncounted + other.uncounted,
            max(self.longest_prompt, other.longest_prompt),
        )


class Budget:
    """What the rows of a run cost, those of other processes included, while one shard is filled.

    Args:
        shard: the one that this process fills.
        most: begin no more rows at this cost.
        longest: most tokens of a completion. A row that nobody counted is taken to have so many, and as many of a
            prompt as any row that was counted.
    """

    def __init__(
        self,
        run: RunFolder,
        manifest: PromptsManifest,
        shard: int,
        price: Price,
        most: float,
        longest: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._manifest = manifest
        self._shard = shard
        self._price = price
        self._most = most
        self._longest = longest
        self._clock = clock
        self._own = _of_chunks(chunks_of(run, shard))
        self._looked = float("-inf")
        self._others = _Tokens()

    @property
    def cost(self) -> float:
        """The cost so far."""
        if self._clock() - self._looked >= _REFRESH_SECONDS:
            self._others, self._looked = self._on_disk(), self._clock()
        known = self._own + self._others
        prompt, completion = known.uncounted * known.longest_prompt, known.uncounted * self._longest
        return self._price.of(known.prompt + prompt, known.completion + completion)

    @property
    def reached(self) -> bool:
        """Whether no more rows are to be begun."""
        return self.cost >= self._most or self._nobody_counts

    def add(self, row: Row) -> None:
        """Count a row that this process made."""
        counted = row.prompt_tokens is not None and row.completion_tokens is not None
        if not counted and row.error is None and not self._own.uncounted:
            logger.warning(
                "Nobody counted the tokens of a row. For --max-cost each such row is taken for as long as one may be."
            )
        self._own += _Tokens(
            row.prompt_tokens or 0,
            row.completion_tokens or 0,
            int(not counted and row.error is None),
            row.prompt_tokens or 0,
        )

    def require(self) -> None:
        """See that there is something left to spend.

        Raises:
            CostReached: there is not.
            ConfigurationError: nobody counts tokens, so nobody can tell.
        """
        if self._nobody_counts:
            raise ConfigurationError(
                "--max-cost is set, and nobody counted the tokens of a single row: the server tells no `usage`, or one "
                "of zeros. The rows so far are committed. Leave --max-cost out, or have the server count."
            )
        if self.reached:
            raise CostReached(
                f"The rows so far cost {shown_cost(self.cost)}, and --max-cost is {self._most:g}. They are committed; "
                "start the same command with a higher --max-cost to go on."
            )

    @property
    def _nobody_counts(self) -> bool:
        known = self._own + self._others
        return bool(known.uncounted and not known.prompt)

    def _on_disk(self) -> _Tokens:
        """Those of all other shards."""
        complete = complete_shards(self._run, self._manifest)
        found = [_Tokens.of(one.counts) for shard, one in complete.items() if shard != self._shard]
        begun = set(range(len(self._manifest.shards))) - {*complete, self._shard}
        found += [_of_chunks(chunks_of(self._run, shard)) for shard in begun]
        return sum(found, _Tokens())


def shown_cost(cost: float) -> str:
    """A cost for people: two digits after the point, and more where it is small."""
    return f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.2g}"


def _of_chunks(chunks: list[Path]) -> _Tokens:
    known = _Tokens()
    for chunk in chunks:
        try:
            table = read_parquet(chunk, columns=["prompt_tokens", "completion_tokens", "finish_reason"])
        except (pa.ArrowException, OSError):
            continue  # damaged: found and mended when the shard is next filled
        longest = pc.max(table["prompt_tokens"]).as_py() or 0
        known += _Tokens.of(ShardCounts.of(table), longest)
    return known
