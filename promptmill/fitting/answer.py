"""From what was typed to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from promptmill.errors import ConfigurationError
from promptmill.fitting.advice import PoolFit, Wish
from promptmill.fitting.model import known_model
from promptmill.fitting.pools import find_pools
from promptmill.fitting.report import FitReport, fit_report, with_time, workload_of
from promptmill.fitting.sources import read_source
from promptmill.fitting.speed import Speed, count_prompts, measured_speed, walltime_seconds
from promptmill.model import checked_model, kind_of


def answer(
    wish: Wish,
    *,
    gpus: Sequence[str] = (),
    partition: str | None = None,
    context: int | None = None,
    batch_size: int = 16,
    tokens_per_second: float | None = None,
) -> FitReport:
    """All that `promptmill fit` says.

    Raises:
        NotFound, AccessDenied, HubUnavailable, ConfigurationError: the model or the prompts cannot be read.
        ConfigurationError: a GPU, a partition or a length makes no sense.
    """
    walltime = walltime_seconds(wish.time)
    _require_prompts(wish, tokens_per_second)
    pools, said = find_pools(gpus, partition)
    source = read_source(wish.model, wish.revision)
    model = known_model(source)
    workload = workload_of(model, context, wish.max_new_tokens)
    report = fit_report(model, pools, workload, batch_size, replace(wish, model=source.model), said)
    if wish.prompts is None or report.choice is None:
        return report
    return with_time(
        report,
        rows=count_prompts(wish.prompts) * wish.samples_per_prompt,
        new_tokens=wish.max_new_tokens,
        speed=_speed(wish, report.choice, tokens_per_second),
        walltime=walltime,
    )


def _require_prompts(wish: Wish, tokens_per_second: float | None) -> None:
    """Options that would come to nothing are refused."""
    given = {
        "--tokens-per-second": tokens_per_second is not None,
        "--samples-per-prompt": wish.samples_per_prompt != 1,
    }
    unused = [name for name, is_given in given.items() if is_given]
    if unused and wish.prompts is None:
        raise ConfigurationError(f"{unused[0]} is for the time, which needs --prompts FILE as well.")


def _speed(wish: Wish, choice: PoolFit, given: float | None) -> Speed | None:
    if given is not None:
        return Speed(given, "as given")
    return measured_speed(Path(wish.data_dir), _recorded_name(wish.model), choice)


def _recorded_name(model: str) -> str:
    """A model as runs write it down: a folder by its absolute path."""
    return checked_model(model) if kind_of(model) == "local" and Path(model).is_dir() else model
