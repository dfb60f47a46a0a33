"""One shard from end to end: what is missing, the engine, and the loop that fills it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from promptmill.engine.contract import Engine
from promptmill.error_share import ErrorShare, committed_tally
from promptmill.errors import ConfigurationError
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.hardware import available_cores, detect_hardware
from promptmill.history import ShardHistory
from promptmill.libraries import all_versions, library_versions, several
from promptmill.pace import Pace
from promptmill.placement import load_placed, require_placement
from promptmill.plan import PromptsManifest, complete_shards, recorded_manifest, shard_store
from promptmill.progress import Progress, writer_name
from promptmill.prompts import read_prepared
from promptmill.rows import Row
from promptmill.run import Identity, RunFolder, recorded_identity, recorded_libraries
from promptmill.stopping import StopRequest
from promptmill.tolerance import USUAL, Tolerance
from promptmill.watchdog import Watchdog

logger = logging.getLogger(__name__)

Tell = Callable[[float, str], None]
OnStall = Callable[[str], None]


@lru_cache(maxsize=1)
def _pace_of(run: Path) -> Pace:
    # Of the run that this process fills, and not of each shard: in the last seconds of a walltime a
    # shard that is begun would know nothing, and begin rows that cannot be finished.
    return Pace()


@lru_cache(maxsize=1)
def _errors_of(run: RunFolder, most: float) -> ErrorShare:
    # Of the run as well: what this process makes of one shard counts for the next.
    return ErrorShare(most, committed_tally(run, recorded_manifest(run)))


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


def produce_shard(
    run: RunFolder,
    shard: int,
    *,
    batch_size: int | None,
    checkpoint_seconds: float,
    processes: int,
    stop: StopRequest,
    tell: Tell | None = None,
    tolerance: Tolerance = USUAL,
    on_stall: OnStall | None = None,
) -> bool:
    """Generate what is missing of one shard; True once it is complete, False if told to stop.

    Args:
        batch_size: rows in one forward pass; None lets the engine choose.
        processes: how many like this one share the machine's cores.
        tell: gets the share of the shard that is done (0 to 1) and a sentence, every few seconds.
        tolerance: when to give up.
        on_stall: told why, before the process is ended because nothing moves (`promptmill.watchdog`).

    Raises:
        ConfigurationError: there is no such shard.
        EngineError: the model cannot be loaded or cannot generate, or too many rows end in error.
        StorageError: rows cannot be committed.
    """
    manifest = recorded_manifest(run)
    if not 0 <= shard < len(manifest.shards):
        raise ConfigurationError(f"--shard is {shard}; the run has shards 0 to {len(manifest.shards) - 1}.")
    store = shard_store(run, manifest, shard)
    form = _form(run, recorded_identity(run), manifest.samples)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *manifest.shards[shard])))
    if not missing:
        store.complete()
        return True
    errors = _errors_of(run, tolerance.max_error_share)
    errors.judge()  # before minutes go into loading
    _say_what_changed(run)
    engine = _engine(run, batch_size, processes)
    history = ShardHistory(run.progress / f"{writer_name()}.jsonl", shard, len(missing))
    with history, _progress(run, manifest, shard, len(missing), tell) as progress, stop.draining():

        def on_row(row: Row) -> None:
            progress.add(row)
            history.add(row)
            errors.add(row)

        def stalled(reason: str) -> None:
            progress.write()
            history.stalled()
            if on_stall is not None:
                on_stall(reason)

        stacks = run.progress / f"{writer_name()}-stacks.txt"
        watchdog = Watchdog(lambda: engine.beats, tolerance.stall_seconds, stacks, stalled)
        return fill_shard(
            store,
            missing,
            engine,
            checkpoint_seconds=checkpoint_seconds,
            should_stop=lambda: stop.requested,
            on_row=on_row,
            time_for=stop.time_for,
            pace=_pace_of(run.path),
            watch=watchdog.watching,
        )


def _form(run: RunFolder, identity: Identity, samples: int) -> PromptForm:
    settings = run.settings
    chat = identity.chat_template is not None
    return PromptForm(chat=chat, system_prompt=settings.system_prompt, samples=samples, run_seed=settings.seed)


def _progress(run: RunFolder, manifest: PromptsManifest, shard: int, missing: int, tell: Tell | None) -> Progress:
    rows = manifest.shard_rows(shard)
    others = sum(other.counts.rows for other in complete_shards(run, manifest).values() if other.shard != shard)
    label = f"shard {shard + 1} of {len(manifest.shards)}"

    def on_write(progress: Progress) -> None:
        if tell is not None:
            done = rows - missing + progress.rows
            tell(done / rows, f"{label}: {done} of {rows} rows, {progress.tokens_per_second:.0f} tokens/s")

    file = run.progress / f"{writer_name()}.json"
    return Progress(file, label, total=manifest.rows, done=others + rows - missing, tell=on_write)


def _engine(run: RunFolder, batch_size: int | None, processes: int) -> Engine:
    import torch

    from promptmill.engine.transformers import TransformersEngine

    # Two processes of two threads each fall to a third on two cores: one core, one thread.
    torch.set_num_threads(max(1, available_cores() // processes))
    hardware = detect_hardware()
    loaded = load_placed(run, hardware)
    placed = require_placement(run, hardware)
    # What is safe was measured for GPUs; on a CPU the engine knows what is fast.
    safe = placed.batch_size if hardware.gpus else None
    return TransformersEngine(
        loaded.model,
        loaded.tokenizer,
        run.settings.sampling,
        batch_size=batch_size or safe,
        positions=placed.cache_positions,
    )
