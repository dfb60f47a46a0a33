"""Filling a shard: requests to an engine, completions to chunks, until done or told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from promptmill.engine.contract import Engine, Message, Request, ShouldStop
from promptmill.errors import EngineError
from promptmill.pace import Pace
from promptmill.prompts import PreparedPrompt
from promptmill.rows import Row
from promptmill.run import Identity
from promptmill.sampling import row_seed
from promptmill.settings import RunSettings
from promptmill.shard import ShardStore

logger = logging.getLogger(__name__)

OnRow = Callable[[Row], None]
Watch = Callable[[Callable[[], None]], AbstractContextManager[None]]


@dataclass(frozen=True)
class PromptForm:
    """How a prepared prompt becomes a request: for a chat model a chat, else plain text."""

    chat: bool
    system_prompt: str | None
    samples: int
    run_seed: int

    @classmethod
    def of(cls, settings: RunSettings, identity: Identity, samples: int) -> PromptForm:
        """That of a run."""
        return cls(identity.chat, settings.system_prompt, samples, settings.seed)

    def requests(self, prompts: Iterator[PreparedPrompt]) -> Iterator[Request]:
        """`samples` requests a prompt, in order; a request's position is its row's place in the shard."""
        for index, prompt in enumerate(prompts):
            messages = self.conversation(prompt) if self.chat else None
            for sample in range(self.samples):
                yield Request(
                    position=index * self.samples + sample,
                    seed=row_seed(self.run_seed, prompt.prompt_id, sample),
                    prompt=prompt.prompt if messages is None else None,
                    messages=messages,
                )

    def conversation(self, prompt: PreparedPrompt) -> tuple[Message, ...]:
        """The prompt as messages, with the system prompt of the run unless it has one of its own."""
        messages = prompt.messages or ({"role": "user", "content": prompt.prompt or ""},)
        if self.system_prompt is None or messages[0]["role"] == "system":
            return messages
        return ({"role": "system", "content": self.system_prompt}, *messages)


class _Committer:
    """Collects finished rows and commits them when a checkpoint is due; a watchdog may do so from its thread."""

    def __init__(self, store: ShardStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._rows: list[Row] = []
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def add(self, row: Row) -> None:
        with self._lock:
            self._rows.append(row)

    def commit_if_due(self) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self.commit()

    def commit(self) -> None:
        with self._lock:
            if self._rows:
                self._store.commit(self._rows)
                logger.debug("Committed %d rows of shard %d.", len(self._rows), self._store.shard)
            self._rows = []
            self._last = time.monotonic()


def missing_requests(store: ShardStore, requests: Iterator[Request]) -> dict[int, Request]:
    """The requests of a shard whose rows are not committed yet, by position."""
    done = set(store.read()["position"].to_pylist())
    return {request.position: request for request in requests if request.position not in done}


def fill_shard(
    store: ShardStore,
    missing: dict[int, Request],
    engine: Engine,
    *,
    checkpoint_seconds: float,
    should_stop: ShouldStop,
    on_row: OnRow,
    time_for: Callable[[float], bool] = lambda seconds: True,
    pace: Pace | None = None,
    watch: Watch = lambda commit: nullcontext(),
) -> bool:
    """Generate the missing rows of a shard; True once it is complete, False if told to stop before.

    Rows are committed every `checkpoint_seconds`, at the end, and when told to stop or when the
    engine fails: an error loses nothing that had finished. Requests leave `missing` as they finish.
    An engine that fails once a stop was asked for has stopped.

    Args:
        time_for: whether a row that takes so many seconds can still be finished; if not, none is begun.
        pace: how long rows took in the shards before this one; None if this is the first.
        watch: what surrounds generating; it is handed what commits the rows so far, from any thread.

    Raises:
        EngineError: nothing more can be generated.
        StorageError: rows cannot be committed.
    """
    committer, pace = _Committer(store, checkpoint_seconds), pace or Pace()

    def stop_now() -> bool:
        # Asked between forward passes: the one moment that comes regularly even if no row finishes.
        committer.commit_if_due()
        pace.forward_pass()
        return should_stop()

    def may_begin() -> bool:
        return time_for(pace.row_seconds)

    try:
        with pace.generating(), watch(committer.commit):
            for completion in engine.generate(list(missing.values()), stop_now, may_begin):
                row = Row.of(missing.pop(completion.position), completion)
                committer.add(row)
                pace.finished(completion)
                on_row(row)
                committer.commit_if_due()
    except EngineError as error:
        # A signal goes to all processes of a job: what an engine has besides this one may have ended by it.
        if not should_stop():
            raise
        logger.warning("The engine broke off while it was told to stop: %s", error)
    finally:
        committer.commit()
    if missing:
        if not should_stop() and may_begin():
            raise _forgotten(store.shard, missing)
        return False
    store.complete()
    return True


def _forgotten(shard: int, missing: dict[int, Request]) -> EngineError:
    return EngineError(
        f"The engine ended without {len(missing)} rows of shard {shard}, which is a mistake in it. "
        "What it did finish is committed."
    )
