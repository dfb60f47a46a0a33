"""Reading how a run is doing: small files, and one question to Slurm at the same time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

from promptmill.cost import recorded_price
from promptmill.files import read_json
from promptmill.plan import PromptsManifest, recorded_manifest
from promptmill.progress import LOADING
from promptmill.run import RunFolder, recorded_settings
from promptmill.slurm.commands import Job, jobs
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.filling import refused_nodes
from promptmill.slurm.finishing import ended_because
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import TaskRecord, read_records
from promptmill.slurm.submission import Submission, recorded_submission
from promptmill.status.counting import Committed, count_committed
from promptmill.status.errors import last_errors
from promptmill.status.processes import Told, living, progress_files
from promptmill.status.values import ProcessRate, RunStatus, ShardStates, State

SLURM_SECONDS = 2.0


def read_status(run: RunFolder, *, slurm_seconds: float = SLURM_SECONDS) -> RunStatus:
    """How the run is doing at this moment.

    Args:
        slurm_seconds: how long Slurm may take to answer before the files alone have to do.

    Raises:
        NotFound: there is no such run.
        StorageError: its own files are damaged.
    """
    recorded_settings(run)  # says what to do if there is no run
    submission = recorded_submission(run)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask, submission, slurm_seconds)
        manifest = recorded_manifest(run) if run.prompts.exists() else None
        committed = count_committed(run, manifest) if manifest else Committed(0, 0, 0, frozenset(), frozenset(), True)
        records = read_records(SlurmFolder.of(run))
        told = progress_files(run)
        live = _answer(asked)
    processes = living(told, records, live)
    shards = _shards(manifest, committed, processes, submission, live)
    state = _state(run, shards, processes, live)
    price = recorded_price(run)
    return RunStatus(
        run=run.path.as_posix(),
        state=state,
        reason=ended_because(run),
        shards=shards,
        rows_total=manifest.rows if manifest else 0,
        rows=committed.rows,
        exact=committed.exact,
        tokens=committed.tokens,
        cost=None if price is None else price.of(committed.prompt_tokens, committed.tokens),
        tokens_per_second_now=round(sum(one.tokens_per_second for one in processes), 1),
        tokens_per_second_overall=_overall(committed, told, records),
        eta_seconds=_eta(manifest, committed, processes),
        restarts=sum(record.earlier_starts + len(record.starts) - 1 for record in records if record.starts),
        preemptions=sum(
            start.reason in ("told to stop", "killed") for record in records for start in record.starts[:-1]
        ),
        made_again=_made_again(records, committed, processes),
        jobs=None if live is None else dict(Counter(job.state for job in live)),
        processes=tuple(processes),
        errors=last_errors(run, records),
        refused_nodes=tuple(refused_nodes(run)),
        published=(read_json(run.published) or {}).get("url"),
    )


def _ask(submission: Submission | None, seconds: float) -> list[Job] | None:
    if submission is None:
        return []
    try:
        return jobs(names=submission.names, timeout=seconds)
    except (SlurmUnavailable, SlurmRefused):
        return None


def _answer(asked: Future[list[Job] | None]) -> list[Job] | None:
    return asked.result()


def _shards(
    manifest: PromptsManifest | None,
    committed: Committed,
    processes: list[ProcessRate],
    submission: Submission | None,
    live: list[Job] | None,
) -> ShardStates:
    total = len(manifest.shards) if manifest else 0
    done = len(committed.done)
    running = min(len({one.doing for one in processes if one.doing != LOADING}), total - done)
    rest = total - done - running
    # Submitted, Slurm has answered, and none of the jobs is left.
    deserted = submission is not None and live == []
    return ShardStates(total, done, running, 0 if deserted else rest, rest if deserted else 0)


def _state(run: RunFolder, shards: ShardStates, processes: list[ProcessRate], live: list[Job] | None) -> State:
    if run.dataset_manifest.exists():
        return "complete"
    if processes:
        return "loading" if all(one.doing == LOADING for one in processes) else "running"
    if live:
        return "running" if any(job.runs for job in live) else "waiting"
    return "ended" if ended_because(run) else "stopped"


def _overall(committed: Committed, told: list[Told], records: list[TaskRecord]) -> float:
    """Tokens on disk by the time from the first start to the last sign of life."""
    begins = [one.began for one in told] + [record.starts[0].began for record in records if record.starts]
    ends = [one.began + one.seconds for one in told]
    if not begins or not ends:
        return 0.0
    return round(committed.tokens / max(max(ends) - min(begins), 1.0), 1)


def _eta(manifest: PromptsManifest | None, committed: Committed, processes: list[ProcessRate]) -> float | None:
    if manifest is None:
        return None
    left = manifest.rows - committed.rows
    rate = sum(one.rows_per_second for one in processes)
    if left and not rate:
        return None
    return round(left / rate, 1) if left else 0.0


def _made_again(records: list[TaskRecord], committed: Committed, processes: list[ProcessRate]) -> int | None:
    if not records:
        return None
    generated = sum(record.rows for record in records)
    # What a process has in hand is in its progress file, and in its record once the shard is over.
    under_way = sum(one.rows for one in processes if one.job is not None)
    return max(0, generated + under_way - committed.rows)
