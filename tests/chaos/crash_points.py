"""A power cut at every point of a run, in every state that it may leave; then the run is started again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from promptmill.plan import recorded_manifest, shard_store
from promptmill.run import RunFolder
from tests.chaos.disk import Call, Cuts, Disk, State
from tests.chaos.recorder import Recorder
from tests.chaos.small_run import PROMPTS, Rows, SmallRun

WITNESS = "torn"
"""A second name of the torn file: it tells whether the file was read even after its own name is gone."""


@dataclass(frozen=True)
class Recording:
    """A run from its first to its last call.

    Attributes:
        committed: after so many calls a row was committed: from then on no power cut may take it.
    """

    calls: list[Call]
    committed: list[tuple[int, tuple[int, int]]]
    dataset: dict[str, bytes]

    def promised(self, after: int) -> set[tuple[int, int]]:
        """The rows that were committed after so many calls."""
        return {row for moment, row in self.committed if moment <= after}

    def begun(self, after: int) -> set[tuple[int, int]]:
        """The rows whose commit had begun, or was done, after so many calls."""
        chunks = [number for number, call in enumerate(self.calls) if call.kind == "create" and "chunk-" in call.path]
        return {row for number, (_, row) in zip(chunks, self.committed, strict=False) if number < after}


@dataclass
class Findings:
    """What came of the states.

    Attributes:
        states: that were looked at.
        restarts: that were run for them: what a restart did not read can have held anything.
        wrong: of each state that a restart did not get right: after which call, and what was wrong.
    """

    states: int = 0
    restarts: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)


def record(small: SmallRun) -> Recording:
    """Run it once, left alone."""
    small.data.mkdir()
    recorder = Recorder(small.data)
    moments: list[tuple[int, tuple[int, int]]] = []

    class Noted(Rows):
        def append(self, row: tuple[int, int]) -> None:
            super().append(row)
            moments.append((recorder.look(), row))

    with recorder.recording():
        small.live(Noted())
    return Recording(recorder.calls, moments, small.dataset())


def crash_everywhere(small: SmallRun, recording: Recording, cuts: Cuts, *, every: int = 1) -> Findings:
    """Restart from every state, or from every second, third and so on, and compare.

    States that differ in the bytes of one torn file alone are one if the restart never reads that file,
    which the time of its last access tells.
    """
    findings = Findings()
    unread: set[tuple[bytes, str]] = set()
    tells = _access_is_told(small.folder)
    for after, state in islice(_different_states(recording, cuts), 0, None, every):
        findings.states += 1
        if state.torn is None or (state.mark, state.torn) not in unread:
            _restart(small, recording, after, state, findings)
            if tells and state.torn is not None and _is_unread(small.folder / WITNESS):
                unread.add((state.mark, state.torn))
    return findings


def broken_promises(small: SmallRun, recording: Recording, cuts: Cuts, *, first: int) -> int:
    """In how many states, after call `first` or a later one, rows that were committed are not there."""
    broken = 0
    for after, state in _different_states(recording, cuts):
        if after >= first:
            _lay_out(small, state)
            broken += bool(recording.promised(after) - _committed(small.run))
    return broken


def _different_states(recording: Recording, cuts: Cuts) -> Iterator[tuple[int, State]]:
    """Each state once, with the number of calls that it came after first and with what was promised then."""
    disk = Disk()
    seen: set[tuple[int, bytes, str | None, bytes]] = set()
    for after in range(len(recording.calls) + 1):
        if after:
            disk.take(recording.calls[after - 1])
        promised = len(recording.promised(after))
        for state in disk.states(cuts):
            key = promised, state.mark, state.torn, state.content
            if key not in seen:
                seen.add(key)
                yield after, state


def _restart(small: SmallRun, recording: Recording, after: int, state: State, findings: Findings) -> None:
    _lay_out(small, state)
    kept = _committed(small.run)
    promised = recording.promised(after)
    findings.restarts += 1
    findings.lost += len(promised - kept)
    wrong = [f"lost committed rows {sorted(promised - kept)}"] if promised - kept else []
    try:
        made = small.live()
    except AssertionError as error:
        wrong.append(str(error) or "it failed without a word")
    else:
        ids = small.rows()
        findings.rows += len(ids)
        findings.lost += PROMPTS - len(set(ids))
        findings.doubled += len(ids) - len(set(ids)) + len(kept & set(made))
        findings.again += len(set(made) & recording.begun(after))
        if small.dataset() != recording.dataset:
            wrong.append("the dataset is another one")
        if kept & set(made):
            wrong.append(f"made committed rows again: {sorted(kept & set(made))}")
    if wrong:
        last = recording.calls[after - 1] if after else None
        findings.wrong.append(f"after call {after} ({last and last.kind} {last and last.path}): {'; '.join(wrong)}")


def _committed(run: RunFolder) -> set[tuple[int, int]]:
    if not (run.identity.exists() and run.prompts.exists()):
        return set()
    manifest = recorded_manifest(run)
    return {
        (shard, position)
        for shard in range(len(manifest.shards))
        for position in shard_store(run, manifest, shard).read()["position"].to_pylist()
    }


def _lay_out(small: SmallRun, state: State) -> None:
    shutil.rmtree(small.data, ignore_errors=True)
    small.data.mkdir()
    for path, content in state.whole.items():
        if content is None:
            (small.data / path).mkdir(exist_ok=True)
        else:
            (small.data / path).write_bytes(content)
    if state.torn:
        (small.folder / WITNESS).unlink(missing_ok=True)
        (small.folder / WITNESS).hardlink_to(small.data / state.torn)
        _forget_access(small.folder / WITNESS)


def _forget_access(path: Path) -> None:
    # Before the time of the last change: then file systems note the next access, `relatime` or not.
    os.utime(path, ns=(0, path.stat().st_mtime_ns))


def _is_unread(path: Path) -> bool:
    return path.stat().st_atime_ns == 0


def _access_is_told(folder: Path) -> bool:
    """Whether this file system says when a file was read; some are mounted so that they do not."""
    probe = folder / "probe"
    probe.write_bytes(b"read me")
    _forget_access(probe)
    before = _is_unread(probe)
    probe.read_bytes()
    return before and not _is_unread(probe)
