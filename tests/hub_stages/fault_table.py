"""Every fault with every operation, and what happened: writes docs/hub-faults.md.

python -m tests.hub_stages.fault_table > docs/hub-faults.md
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests.hub import (
    Corrupt,
    Fault,
    HubServer,
    LoseAnswer,
    Match,
    ResetDownload,
    ResetUpload,
    Settings,
    Slow,
    Stall,
    Status,
    Truncate,
)
from tests.hub_stages.operations import INTERIM
from tests.hub_stages.processes import TOKEN, Client, Outcome, data_of, data_on, make_folder

REPO, MODEL = "alice/data", "lab/model"
FILES, COMMIT_BYTES = 6, 50_000
REQUEST_SECONDS, TOTAL_SECONDS = 2, 12
HANG_SECONDS = 90
# Lines of the log that tell of another try: ours, and the client's own (which it prints a second time by itself).
AGAIN = re.compile(
    r"trying again in|fetched again|sending less|"
    r"^huggingface_hub\S*: (Retrying in|Rate limited|Error while downloading)"
)
PLACES = {
    "an API request": Match("^/api/(?!.*/commit/)", origin="hub"),
    "a file's content": Match("^/repos/|^/xorbs/|^/lfs/|/v1/xorbs/"),
    "a Xet record": Match("/v1/shards|/v2/shards|/reconstructions/", origin="cas"),
    "the commit": Match("/commit/", "POST", "hub"),
}


@dataclass(frozen=True)
class Trial:
    """One fault: an effect on requests to a place, or something that is done to hub or client."""

    name: str
    place: str | None = None
    effect: object = None
    times: int | None = 1
    arrange: Callable[[HubServer], object] | None = None
    variables: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        often = {1: "once", None: "always"}.get(self.times, f"{self.times} times")
        return f"{self.name}, {often}, at {self.place}" if self.place else self.name


def trials() -> Iterator[Trial]:
    """All of them."""
    passing = {
        "HTTP 503": (Status(503), 2),
        "HTTP 500": (Status(500), 1),
        "HTTP 408": (Status(408), 1),
        "HTTP 429 with Retry-After: 1": (Status(429, retry_after=1), 1),
        "answer lost": (LoseAnswer(), 1),
        "reset while sending": (ResetUpload(10), 1),
        "reset inside the answer": (ResetDownload(10), 1),
        "answer cut": (Truncate(10), 1),
        "silence before the answer": (Stall(60), 1),
        "silence inside the answer": (Stall(60, after_bytes=10), 1),
        "corrupted answer": (Corrupt(at=20), 1),
        "slow (100 kB/s)": (Slow(100_000), None),
    }
    for place in PLACES:
        for name, (effect, times) in passing.items():
            if name == "corrupted answer" and place != "a file's content":
                continue  # A flipped byte in JSON is for TLS to find.
            yield Trial(name, place, effect, times)
        for status in (401, 403, 404, 409, 412, 413, 503):
            yield Trial(f"HTTP {status}", place, Status(status), None)
        yield Trial("HTTP 429 with Retry-After: 3600", place, Status(429, retry_after=3600), None)
        yield Trial("silence before the answer", place, Stall(600), None)
    yield Trial("token revoked after 6 requests", arrange=lambda hub: hub.revoke(TOKEN, after=6))
    yield Trial("somebody else commits meanwhile", arrange=_interfere)
    yield Trial("nobody listens", variables=(("HF_ENDPOINT", "http://127.0.0.1:9"),))
    yield Trial("HF_HUB_OFFLINE=1", variables=(("HF_HUB_OFFLINE", "1"),))


def _interfere(hub: HubServer) -> None:
    """A commit of somebody else between our look and our commit."""

    class Interfere(Status):
        def before(self, wire: object) -> None:
            hub.commit(REPO, {"NOTES.md": "mine"}, kind="dataset")

        def status(self) -> None:  # type: ignore[override]
            return None

    hub.fail(Fault(Interfere(0), Match("/commit/", "POST")))


@dataclass(frozen=True)
class Operation:
    """A column of the table."""

    name: str
    xet: bool
    arguments: tuple[str, ...]

    def run(self, hub: HubServer, work: Path, **variables: str) -> Outcome:
        """Run it once."""
        limits = ("--total", TOTAL_SECONDS, "--request", REQUEST_SECONDS)
        client = Client(hub, work / "home", xet=self.xet)
        where = {"FOLDER": str(work / "folder")}
        arguments = (where.get(argument, argument) for argument in self.arguments)
        return client.run(*limits, *arguments, timeout=HANG_SECONDS, **variables)


_PUBLISH = ("publish", "FOLDER", REPO, "--commit-bytes", str(COMMIT_BYTES))
OPERATIONS = (
    Operation("check", True, ("check", "--model", MODEL, "--publish-to", REPO)),
    Operation("download, HTTP", False, ("download", MODEL)),
    Operation("download, Xet", True, ("download", MODEL)),
    Operation("publish, LFS", False, _PUBLISH),
    Operation("publish, Xet", True, _PUBLISH),
)


def cell(trial: Trial, operation: Operation) -> str:
    """What happened, after looking at hub and disk. Raises AssertionError where that is not sound."""
    with HubServer(Settings(xet_for_added=operation.xet)) as hub, tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        hub.add_user("alice", token=TOKEN)
        model = {"config.json": "{}", "tokenizer.json": "[]", "model.safetensors": random.randbytes(300_000)}
        hub.add_model(MODEL, model)
        if operation.name != "check":
            make_folder(work / "folder", FILES)
        hub.add_dataset(REPO, {".gitattributes": "*.parquet filter=lfs diff=lfs merge=lfs -text\n"})
        fault = Fault(trial.effect, PLACES[trial.place], trial.times) if trial.place else None  # type: ignore[arg-type]
        if fault:
            hub.fail(fault)
        if trial.arrange:
            trial.arrange(hub)
        outcome = operation.run(hub, work, **dict(trial.variables))
        if fault and not fault.hits:
            return "–"
        return _told(operation, outcome, hub, work)


def _told(operation: Operation, outcome: Outcome, hub: HubServer, work: Path) -> str:
    assert "Traceback" not in outcome.said, outcome.said
    _require_sound(operation, hub, work, complete=outcome.code == 0)
    again = sum(AGAIN.search(line) is not None for line in outcome.said.splitlines())
    if outcome.code == 0:
        return f"recovered after {again + 1} tries" if again else "no harm"
    last = outcome.said.strip().splitlines()[-1]
    left = _left(operation, hub, work)
    hub.heal()
    hub.state.accounts.tokens[TOKEN].uses_left = None
    second = operation.run(hub, work)
    assert second.code == 0, second.said
    _require_sound(operation, hub, work, complete=True)
    return f"{last.split(':')[0]} ({outcome.code}){left}; then goes on"


def _require_sound(operation: Operation, hub: HubServer, work: Path, *, complete: bool) -> None:
    """No torn file in the cache, no partial dataset announced, no commit twice."""
    if operation.name.startswith("download"):
        model = hub.files(MODEL)
        found = _snapshot(work)
        assert all(model[name] == content for name, content in found.items()), "a damaged file counts as whole"
        assert not complete or set(found) == set(model)
    if operation.name.startswith("publish"):
        data, commits = data_of(work / "folder"), hub.commits(REPO, kind="dataset")
        assert not complete or data_on(hub, REPO) == data
        oids = [{path: file.oid for path, file in commit.files.items()} for commit in commits]
        assert all(newer != older for newer, older in pairwise(oids)), "a commit was made twice"
        for commit in commits:
            shown = {path for path in commit.files if path.startswith("data/")}
            assert (
                not shown or shown == set(data) or INTERIM.splitlines()[-1] in commit.files["README.md"].content.read()
            )


def _snapshot(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "home").glob("hub/models--*/snapshots/*/*")}


def _left(operation: Operation, hub: HubServer, work: Path) -> str:
    if operation.name.startswith("download"):
        return f", {len(_snapshot(work))} of 3 files on disk"
    if operation.name.startswith("publish"):
        return f", {len(data_on(hub, REPO))} of {FILES} files on the Hub"
    return ""


HEAD = f"""# What faults of the Hub do

Written by `python -m tests.hub_stages.fault_table`: each cell is a run of the real client against the local Hub of
`tests/hub`, in a process of its own. Patience was shortened to {REQUEST_SECONDS} s of silence in a request and
{TOTAL_SECONDS} s without a success (by default 60 s, and 15 minutes for a download or 1 hour for publishing). A model
of 3 files; a dataset of {FILES} files of 20 kB in commits of {COMMIT_BYTES // 1000} kB.

- *recovered after n tries*: the operation ended well. *No harm*: it did not have to try again by itself (hf_xet and
  the client's LFS upload try some things again on their own and say nothing). –: it sends no such request.
- Otherwise the error that it stopped with and its exit code, what was whole by then; *then goes on*: the fault was
  called off, the same command started again, and it ended well.
- In every cell was looked for, and not found: a hang (over {HANG_SECONDS} s), a traceback, a damaged file in the cache
  that counts as whole, a partial dataset whose card does not say so, a commit that changes nothing.
"""


def main() -> None:
    """Print the document; progress goes to stderr."""
    print(HEAD)
    print("| fault |", " | ".join(operation.name for operation in OPERATIONS), "|")
    print("|---|", "---|" * len(OPERATIONS), sep="")
    for trial in trials():
        with ThreadPoolExecutor(len(OPERATIONS)) as together:  # Most of the time they wait.
            cells = list(together.map(partial(cell, trial), OPERATIONS))
        print(f"| {trial} |", " | ".join(cells), "|", flush=True)
        print(f"{trial}: {cells}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
