"""A run that is over in a moment: the whole graph by Luigi, in this process, with the stub engine as its model."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import luigi
import pyarrow.parquet as pq
from luigi.task_register import Register

from promptmill.files import TEMPORARY_MARK
from promptmill.placement import place_model
from promptmill.placing.calibrate import Measured
from promptmill.production import produce_shard
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.shard import ShardStore
from promptmill.stopping import Exit
from tests.fakes import StubEngine
from workflows import AssembleDataset, BuildDataset, GenerateShard, PlaceModel, PreparePrompts

PROMPTS = 6
SMALL_SHARD = 3


Rows = list[tuple[int, int]]
"""Shard and position of each."""


class SmallRun:
    """A run of six prompts in two shards, each row a chunk of its own.

    Args:
        model: folder of a tiny model; its files are pinned, it is never loaded.

    Attributes:
        said: what was logged by the last life.
        prompts: the file of prompts.
    """

    def __init__(self, folder: Path, model: Path, *, seed: int = 0, verb: str = "Say") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.said: list[str] = []
        self._model = model
        self._seed = seed
        # At a place of its own: the run's record names it.
        self._verb = verb
        self.prompts = model.parent / f"six-prompts-{verb}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.prompts.write_text("".join(json.dumps({"prompt": f"{verb} {number}"}) + "\n" for number in range(PROMPTS)))

    def copied(self, folder: Path) -> SmallRun:
        """The same run in the same state, elsewhere."""
        copy = SmallRun(folder, self._model, seed=self._seed, verb=self._verb)
        shutil.copytree(self.data, copy.data)
        return copy

    def live(self, committed: Rows | None = None) -> Rows:
        """Run BuildDataset until the dataset is there; returns the rows that this life of it committed.

        Args:
            committed: grows as they are.

        Raises:
            AssertionError: it is not there, and what was logged tells why.
        """
        rows: Rows = [] if committed is None else committed
        code, said = self.attempt(rows)
        assert code == 0, "\n".join(said)
        return rows

    def attempt(
        self, committed: Rows | None = None, *, prompts: Path | str | None = None, name: str | None = "small"
    ) -> tuple[int, list[str]]:
        """Run BuildDataset; the exit code that a process would end with (1 for any other failure), and the log."""
        # As a new process would: Luigi keeps every task, and a task its folder and settings.
        Register.clear_instance_cache()
        with _small_parts([] if committed is None else committed), _log() as self.said:
            task = BuildDataset(
                model=str(self._model),
                prompts=str(prompts or self.prompts),
                data_dir=str(self.data),
                name=name,
                max_new_tokens=8,
                seed=self._seed,
                checkpoint_seconds=0.0,
            )
            try:
                code = 0 if luigi.build([task], local_scheduler=True, no_lock=True, log_level="WARNING") else 1
            except Exit as error:
                code = int(str(error.code))
        return code, self.said

    @property
    def run(self) -> RunFolder:
        """Where the run lies."""
        return RunFolder.named(self.data, "small")

    def dataset(self) -> dict[str, bytes]:
        """Every file of the dataset, and its manifest."""
        files = [path for path in self.run.dataset.rglob("*") if path.is_file() and TEMPORARY_MARK not in path.name]
        return {str(path.relative_to(self.run.path)): path.read_bytes() for path in [*files, self.run.dataset_manifest]}

    def rows(self) -> list[str]:
        """The ids of the dataset's rows."""
        ids: list[str] = []
        for path in sorted(self.run.dataset.glob("data/*.parquet")):
            ids += pq.read_table(path)["prompt_id"].to_pylist()
        return ids


def lose_a_shard(run: RunFolder) -> None:
    """Make a complete run one that was stopped before its second shard."""
    shutil.rmtree(run.dataset)
    run.dataset_manifest.unlink()
    shutil.rmtree(run.shards / "00001")
    (run.shards / "00001.json").unlink()


def _stub(*_: object) -> StubEngine:
    return StubEngine()


@contextmanager
def _small_parts(committed: Rows) -> Iterator[None]:
    """The stub in the model's place, small shards, no report; and an eye on what is committed."""
    commit = ShardStore.commit

    def watched(store: ShardStore, rows: list[Row]) -> None:
        commit(store, rows)
        for row in rows:
            committed.append((store.shard, row.position))

    measured = Measured(0.0, 0, {}, {}, 0.0, 1, from_store=False)
    place, produce = partial(place_model, prove=lambda *_: measured), partial(produce_shard, choose=_stub)
    with (
        patch.object(PreparePrompts, "small_shard_rows", SMALL_SHARD),
        patch.object(PlaceModel, "place", staticmethod(place)),
        patch.object(GenerateShard, "produce", staticmethod(produce)),
        # A process of its own that takes seconds; it writes through the same file layer.
        patch.object(AssembleDataset, "write_report", staticmethod(lambda _: None)),
        patch.object(BuildDataset, "have_report", staticmethod(lambda _: None)),
        patch.object(ShardStore, "commit", watched),
        # The log and the signals are those of the tests' own process.
        patch("tasks.stage.prepare_process", lambda: None),
        patch("tasks.process.prepare_process", lambda: None),
    ):
        yield


@contextmanager
def _log() -> Iterator[list[str]]:
    """What promptmill and Luigi log, in place of a terminal."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    loggers = [logging.getLogger(name) for name in ("promptmill", "luigi-interface", "luigi")]
    kept = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Lines()], False
        logger.setLevel(logging.WARNING)
    try:
        yield lines
    finally:
        for logger, handlers, propagate, level in kept:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
