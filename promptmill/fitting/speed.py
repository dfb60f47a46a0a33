"""How long a run would take: prompts, tokens a second, and the walltime of a job."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptmill.errors import ConfigurationError, InvalidRows
from promptmill.files import read_json
from promptmill.fitting.advice import PoolFit
from promptmill.fitting.pools import Pool
from promptmill.placing.gpu_names import types_named
from promptmill.slurm.options import SlurmOptions

_RESERVE = 45.0
"""Seconds of a walltime that go to the last commit (`promptmill.slurm.walltime`)."""


@dataclass(frozen=True)
class Speed:
    """Tokens a second of one copy, and who says so."""

    tokens_per_second: float
    source: str


@dataclass(frozen=True)
class Duration:
    """What a run comes to.

    Attributes:
        rows: prompts times samples.
        tokens: at most, if no row stops early.
        speed: None if nobody has measured or said.
        copies: that generate at the same time.
        seconds: with so many copies; None without a speed.
        walltime: seconds that a job may take; None if not said.
        starts: how often each job starts until all is done; None without a walltime or a speed.
    """

    rows: int
    tokens: int
    speed: Speed | None
    copies: int
    seconds: float | None
    walltime: int | None
    starts: int | None


def count_prompts(source: str) -> int:
    """Rows of a file, a glob or a Hub dataset, as a run would read them.

    Raises:
        NotFound, ConfigurationError: there is no such source.
        InvalidRows: it cannot be read.
    """
    from promptmill.prompts.hub_dataset import dataset_commit
    from promptmill.prompts.problems import Problems
    from promptmill.prompts.reading import read_batches
    from promptmill.prompts.source import HubSource, locate

    found = locate(source)
    problems = Problems(source)
    commit = dataset_commit(found) if isinstance(found, HubSource) else None
    rows = sum(len(batch.rows) for batch in read_batches(found, commit, problems))
    problems.raise_if_any()
    if not rows:
        raise InvalidRows(f"{source} has no prompts. Put at least one in, or name another file with --prompts.")
    return rows


def walltime_seconds(time: str | None) -> int | None:
    """Seconds of a walltime as Slurm writes it.

    Raises:
        ConfigurationError: it is none.
    """
    seconds = SlurmOptions(time=time).time_seconds
    if seconds == 0:
        raise ConfigurationError(f"--time is {time!r}, which is no time at all; write it as 4:00:00 or 1-12:00:00.")
    return seconds


def duration_of(choice: PoolFit, *, rows: int, new_tokens: int, speed: Speed | None, walltime: int | None) -> Duration:
    """Seconds and starts of a run on a pool."""
    tokens, copies = rows * new_tokens, max(1, choice.copies)
    seconds = None if speed is None else tokens / speed.tokens_per_second / copies
    starts = None
    if seconds is not None and walltime is not None:
        starts = max(1, math.ceil(seconds / (walltime - min(_RESERVE, walltime / 8))))
    return Duration(rows, tokens, speed, copies, seconds, walltime, starts)


def measured_speed(data: Path, model: str, choice: PoolFit) -> Speed | None:
    """What the latest run of this model on such hardware measured when it was placed; None if there was none."""
    found = [
        (path.stat().st_mtime, float(value["measured"]["tokens_per_second"]), path.parent.name)
        for path, value in _placements(data, model)
        if _is_alike(value["decision"], choice)
    ]
    if not found:
        return None
    _, speed, run = max(found)
    return Speed(speed, f"measured when the run {run} placed the model; long rows are slower")


def _placements(data: Path, model: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((data / "runs").glob("*/placement-*.json")):
        record, value = read_json(path.parent / "run.json"), read_json(path)
        settings = record.get("settings", {}) if isinstance(record, dict) else {}
        if settings.get("model") == model and isinstance(value, dict) and {"decision", "measured"} <= set(value):
            yield path, value


def _is_alike(decision: dict[str, Any], choice: PoolFit) -> bool:
    alike = (decision["quantization"], decision["gpus_per_copy"]) == (choice.fit.quantization, choice.fit.gpus)
    return alike and _same_type(str(decision["hardware"]), choice.pool)


def _same_type(label: str, pool: Pool) -> bool:
    """Whether a placement's hardware, as `2xtesla-t4`, is of a pool's type."""
    if pool.is_cpu or label == "cpu":
        return pool.is_cpu and label == "cpu"
    name = re.sub(r"^\d+x", "", label)
    types = types_named(name)
    return name == re.sub(r"[^a-z0-9]+", "-", pool.gpu.lower()) or (bool(types) and types == types_named(pool.gpu))
