"""One shard from end to end: what is missing, the engine, and the loop that fills it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from promptmill.cost import Budget
from promptmill.endpoint.options import EndpointOptions
from promptmill.engine.choosing import EngineOptions, choose_engine
from promptmill.engine.contract import Engine
from promptmill.error_share import ErrorShare, committed_tally
from promptmill.errors import ConfigurationError
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.history import ShardHistory
from promptmill.libraries import all_versions, library_versions, several
from promptmill.pace import Pace
from promptmill.plan import PromptsManifest, complete_shards, recorded_manifest, shard_store
from promptmill.progress import Progress, tell_loading, writer_name
from promptmill.prompts import read_prepared
from promptmill.rows import Row
from promptmill.run import RunFolder, recorded_identity, recorded_libraries
from promptmill.stopping import StopRequest
from promptmill.tolerance import USUAL, Tolerance
from promptmill.watchdog import Watchdog

logger = logging.getLogger(__name__)

Tell = Callable[[float, str], None]
OnStall = Callable[[str], None]
Choose = Callable[[RunFolder, EngineOptions], Engine]


@dataclass(frozen=True)
class SoFar:
    """What a process knows of the run that it fills, kept from shard to shard.

    Attributes:
        pace: in the last seconds of a walltime a shard that is begun would know nothing else, and begin rows that
            cannot be finished.
        errors: what this process makes of one shard counts for the next.
    """

    pace: Pace
    errors: ErrorShare

    @classmethod
    def read(cls, run: RunFolder, max_error_share: float) -> SoFar:
        """What a process knows that begins: the rows that are committed."""
        return cls(Pace(), ErrorShare(max_error_share, committed_tally(run, recorded_manifest(run))))


_so_far = lru_cache(maxsize=1)(SoFar.read)


@lru_cache(maxsize=1)
def _say_what_changed(run: RunFolder) -> None:
    differing = several(all_versions([recorded_libraries(run), library_versions()]))
    if differing:
        logger.warning("The run was begun with other libraries than are here: %s. The card will say so.", differing)


def shard_is_complete(run: RunFolder, shard: int) -> bool:
    """Whether the shard's manifest is there and of this run."""
    if not (run.identity.exists() and run.prompts.exists()):
        return False
    return shard_store(run, recorded_manifest(run), shard).manifest() is not None


def all_shards_are_complete(run: RunFolder) -> bool:
    """Whether nothing is left to generate of a run whose prompts are prepared."""
    manifest = recorded_manifest(run)
    return len(complete_shards(run, manifest)) == len(manifest.shards)


def produce_shard(
    run: RunFolder,
    shard: int,
    *,
    batch_size: int | None,
    checkpoint_seconds: float,
    processes: int,
    stop: StopRequest,
    endpoint: EndpointOptions | None = None,
    tell: Tell | None = None,
    tolerance: Tolerance = USUAL,
    on_stall: OnStall | None = None,
    choose: Choose = choose_engine,
    so_far: SoFar | None = None,
) -> bool:
    """Generate what is missing of one shard; True once it is complete, False if told to stop.

    Args:
        batch_size: rows in one forward pass; None lets the engine choose.
        processes: how many like this one share the machine's cores.
        endpoint: where the server is that has the model; for `--engine endpoint` alone.
        tell: gets the share of the shard that is done (0 to 1) and a sentence, every few seconds.
        tolerance: when to give up.
        on_stall: told why, before the process is ended because nothing moves (`promptmill.watchdog`).
        choose: makes the engine, once it is known that there is something to generate.
        so_far: what is known of the run; None for what this process has kept.

    Raises:
        ConfigurationError: there is no such shard.
        CostReached: the rows cost what the user wants to spend at most.
        EngineError: the model cannot be loaded or cannot generate, or too many rows end in error.
        StorageError: rows cannot be committed.
    """
    manifest = recorded_manifest(run)
    if not 0 <= shard < len(manifest.shards):
        raise ConfigurationError(f"--shard is {shard}; the run has shards 0 to {len(manifest.shards) - 1}.")
    store = shard_store(run, manifest, shard)
    form = PromptForm.of(run.settings, recorded_identity(run), manifest.samples)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *manifest.shards[shard])))
    if not missing:
        store.complete()
        return True
    so_far = so_far or _so_far(run, tolerance.max_error_share)
    so_far.errors.judge()  # before minutes go into loading
    _say_what_changed(run)
    if run.settings.loads_model:
        tell_loading(_progress_file(run))
    engine = choose(run, EngineOptions(batch_size, processes, endpoint))
    budget = _budget(run, manifest, shard, endpoint)
    history = ShardHistory(run.progress / f"{writer_name()}.jsonl", shard, len(missing))
    with history, _progress(run, manifest, shard, len(missing), tell) as progress, stop.draining():

        def on_row(row: Row) -> None:
            progress.add(row)
            history.add(row)
            so_far.errors.add(row)
            if budget is not None:
                budget.add(row)

        def stalled(reason: str) -> None:
            progress.write()
            history.stalled()
            if on_stall is not None:
                on_stall(reason)

        stacks = run.progress / f"{writer_name()}-stacks.txt"
        watchdog = Watchdog(lambda: engine.beats, tolerance.stall_seconds, stacks, stalled)
        done = fill_shard(
            store,
            missing,
            engine,
            checkpoint_seconds=checkpoint_seconds,
            should_stop=lambda: stop.requested,
            on_row=on_row,
            # What is under way is paid for, so it is waited for.
            time_for=lambda seconds: stop.time_for(seconds) and not (budget and budget.reached),
            pace=so_far.pace,
            watch=watchdog.watching,
        )
    if not done and budget is not None:
        budget.require()
    return done


def _budget(run: RunFolder, manifest: PromptsManifest, shard: int, endpoint: EndpointOptions | None) -> Budget | None:
    if endpoint is None or endpoint.price is None or endpoint.max_cost is None:
        return None
    return Budget(run, manifest, shard, endpoint.price, endpoint.max_cost, run.settings.sampling.max_new_tokens)


def _progress(run: RunFolder, manifest: PromptsManifest, shard: int, missing: int, tell: Tell | None) -> Progress:
    rows = manifest.shard_rows(shard)
    others = sum(other.counts.rows for other in complete_shards(run, manifest).values() if other.shard != shard)
    label = f"shard {shard + 1} of {len(manifest.shards)}"

    def on_write(progress: Progress) -> None:
        if tell is not None:
            done = rows - missing + progress.rows
            tell(done / rows, f"{label}: {done} of {rows} rows, {progress.tokens_per_second:.0f} tokens/s")

    return Progress(_progress_file(run), label, total=manifest.rows, done=others + rows - missing, tell=on_write)


def _progress_file(run: RunFolder) -> Path:
    return run.progress / f"{writer_name()}.json"
