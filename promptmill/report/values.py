"""What the report tells, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from promptmill.report.rows import SampleRow

Level = Literal["good", "look", "bad"]


@dataclass(frozen=True)
class Group:
    """Rows that share something: a text, an opening, an error, a language."""

    text: str
    rows: int


@dataclass(frozen=True)
class Lengths:
    """How many rows have which number of tokens, by how they ended: `{finish_reason: {tokens: rows}}`."""

    prompts: dict[int, int]
    responses: dict[str, dict[int, int]]


@dataclass(frozen=True)
class Counts:
    """What was counted over every row.

    Attributes:
        total: rows that the finished dataset has.
        reasons: rows by finish_reason.
        errors: their texts with the numbers left out, the most frequent first.
        blank: responses with nothing but white space, rows with an error not counted.
        refusals: responses that begin like a refusal.
        copies: rows whose response another row has already, to the last character.
        copied: the responses that come most often.
    """

    total: int
    rows: int
    reasons: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    lengths: Lengths
    errors: tuple[Group, ...]
    blank: int
    refusals: int
    copies: int
    copied: tuple[Group, ...]

    @property
    def answered(self) -> int:
        """Rows without an error."""
        return self.rows - self.reasons.get("error", 0)

    @property
    def measured(self) -> bool:
        """Whether anybody counted tokens."""
        return bool(self.lengths.prompts) and any(self.lengths.responses.values())

    @property
    def filled(self) -> int:
        """Rows with a response that is not blank."""
        return self.answered - self.blank


@dataclass(frozen=True)
class Sampled:
    """What was measured on a sample, as it costs too much on every row.

    Attributes:
        rows: of the sample; all rows with a response if there are no more.
        near: rows of the sample that resemble another one of it, exact copies included.
        resembling: the largest groups of such rows, each shown by its first.
        openings: how responses begin, the most frequent first.
        distinct: distinct n-grams of words by all n-grams, for n of 1, 2 and 3; None where there are no words.
        distinct_rows: responses that `distinct` was taken over.
        languages: what the responses seem to be written in, of `language_rows` of them.
    """

    rows: int
    near: int
    resembling: tuple[Group, ...]
    openings: tuple[Group, ...]
    distinct: tuple[float | None, float | None, float | None]
    distinct_rows: int
    languages: tuple[Group, ...]
    language_rows: int


@dataclass(frozen=True)
class Node:
    """What one node made.

    Attributes:
        seconds: in which processes of it generated, summed over processes.
        starts: how many processes began there.
    """

    name: str
    devices: str | None
    starts: int
    rows: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Of one process, on average."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Interruption:
    """Processes that ended before their work did, about the same time.

    Attributes:
        at: seconds since 1970.
        why: `told to stop`, `preempted`, `walltime`, `killed`, `stalled` or `failed`.
    """

    at: float
    why: str
    processes: int


@dataclass(frozen=True)
class RateBin:
    """Tokens a second from `start` to `stop`, in seconds since 1970."""

    start: float
    stop: float
    tokens_per_second: float


@dataclass(frozen=True)
class Speed:
    """How the run went over time; all empty where nothing was recorded.

    Attributes:
        generated: rows made, those made twice included; None if nothing was recorded.
        busy: seconds in which at least one process generated.
    """

    bins: tuple[RateBin, ...]
    nodes: tuple[Node, ...]
    interruptions: tuple[Interruption, ...]
    resumed: tuple[float, ...]
    generated: int | None
    began: float | None
    ended: float | None
    busy: float
    tokens_per_second: float


@dataclass(frozen=True)
class Finding:
    """Something worth a look, and what to do about it."""

    level: Level
    text: str
    advice: str


@dataclass(frozen=True)
class Verdict:
    """The answer to: is this dataset any good, and did the run go well?"""

    level: Level
    word: str
    sentence: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class RunEnd:
    """What else is known of the run.

    Attributes:
        state: as `promptmill status` says it.
        errors: of processes, each with the file that tells more.
    """

    state: str
    reason: str | None
    errors: tuple[tuple[str, str | None], ...]
    refused_nodes: tuple[str, ...]
    published: str | None


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        cost: of the rows, in the money of the price that was named; None if none was.
        first_prompt: as the model gets it, shortened; None where a server renders it.
    """

    name: str
    model: str
    made: str
    verdict: Verdict
    counts: Counts
    sampled: Sampled
    speed: Speed
    end: RunEnd
    samples: tuple[SampleRow, ...]
    settings: dict[str, str]
    command: str
    cost: float | None
    unreadable: tuple[str, ...]
    first_prompt: str | None
