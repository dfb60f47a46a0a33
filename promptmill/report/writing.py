"""The report of a run from what is on disk, and the file that holds it."""

from __future__ import annotations

import time
from pathlib import Path

from promptmill.card import command, made_with
from promptmill.columns import layout_of
from promptmill.cost import recorded_price
from promptmill.errors import NotFound
from promptmill.files import atomic_write, read_json
from promptmill.plan import recorded_manifest
from promptmill.prompts import default_prompts_path
from promptmill.report.counting import RowCounter, sampled_indices
from promptmill.report.page import page
from promptmill.report.rows import RowSource
from promptmill.report.sampling import measure_sample
from promptmill.report.speed import read_speed
from promptmill.report.values import Report, RunEnd
from promptmill.report.verdict import judge
from promptmill.run import RunFolder, recorded_identity, recorded_prompts_source
from promptmill.status import read_status

SAMPLES = 20


def write_report(run: RunFolder, path: Path | None = None) -> Report:
    """Write the report of a run, finished or not, as one HTML file.

    Args:
        path: where to; `report.html` in the run's folder by default.

    Raises:
        NotFound: there is no such run, or no row of it yet.
        StorageError: its own files are damaged, or the report cannot be written.
    """
    report = read_report(run)
    with atomic_write(path or run.report) as temporary:
        temporary.write_text(page(report), encoding="utf-8", errors="replace")
    return report


def read_report(run: RunFolder) -> Report:
    """All that the report tells.

    Raises:
        NotFound, StorageError: as `write_report`.
    """
    settings = run.settings  # says what to do if there is no run
    if not (run.prompts.exists() and run.identity.exists()):
        raise _no_rows(run)
    manifest, identity = recorded_manifest(run), recorded_identity(run)
    source = RowSource(run, manifest)
    if not source.rows:
        raise _no_rows(run)
    counter = RowCounter(source, manifest.rows)
    counts = counter.count()
    sampled, speed, end = measure_sample(counter.sample), read_speed(run), _end(run)
    prompts = recorded_prompts_source(run)
    typed = None if Path(prompts) == default_prompts_path() else prompts
    price = recorded_price(run)
    made = made_with(run, identity, manifest, typed)
    return Report(
        name=run.path.name,
        model=made["model"],
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        verdict=judge(counts, sampled, speed, end, settings.sampling.max_new_tokens),
        counts=counts,
        sampled=sampled,
        speed=speed,
        end=end,
        samples=tuple(source.sample(sampled_indices(source.rows, SAMPLES))),
        settings=made,
        command=command(settings, identity, typed, layout_of(run)),
        cost=None if price is None else price.of(counts.prompt_tokens, counts.completion_tokens),
        unreadable=tuple(sorted(set(source.unreadable))),
        first_prompt=_first_prompt(run),
    )


def _first_prompt(run: RunFolder) -> str | None:
    value = read_json(run.first_prompt)
    return str(value["text"]) if isinstance(value, dict) and "text" in value else None


def _end(run: RunFolder) -> RunEnd:
    status = read_status(run)
    errors = tuple((error.text, error.log) for error in status.errors)
    return RunEnd(status.state, status.reason, errors, status.refused_nodes, status.published)


def _no_rows(run: RunFolder) -> NotFound:
    return NotFound(
        f"The run {run.path} has no rows to report on yet. `promptmill status {run.path}` says how it is doing."
    )
