"""Random kills of publications, and what the Hub holds afterwards.

    python -m tests.hub_stages.kills --kills 200

Each round publishes 40 files of its own to a repository of its own. The process is killed with
SIGKILL at a random moment, a few times over, and then left to end. Printed: what was found.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.hub import Fault, HubServer, Match, Slow
from tests.hub.repos import Commit
from tests.hub_stages.processes import TOKEN, Client, data_of, data_on, make_folder

FILES, FILE_BYTES, COMMIT_BYTES = 40, 20_000, 100_000
SLOW_BYTES = 500_000  # a second


@dataclass
class Tally:
    """What the rounds showed; every list names rounds in which something was wrong."""

    rounds: int = 0
    kills: int = 0
    excess: list[int] = field(default_factory=list)  # bytes a round, beyond one full upload
    wrong_files: list[str] = field(default_factory=list)
    empty_commits: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    too_much_sent: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.wrong_files or self.empty_commits or self.announced or self.too_much_sent)

    def __str__(self) -> str:
        mean = sum(self.excess) / max(self.kills, 1)
        return (
            f"{self.kills} kills in {self.rounds} publications of {FILES} files ({FILES * FILE_BYTES:,} bytes, "
            f"{COMMIT_BYTES:,} a commit): wrong files {len(self.wrong_files)}, commits without a change "
            f"{len(self.empty_commits)}, partial datasets announced {len(self.announced)}, more than a commit sent "
            f"again a kill {len(self.too_much_sent)}; sent in excess a kill: {mean:,.0f} bytes on average, "
            f"{max(self.excess, default=0):,} at most in a round"
        )


def run_round(hub: HubServer, work: Path, name: str, tally: Tally, *, kills: int, seconds: float, xet: bool) -> None:
    """Publish one dataset with so many kills, and look at what came of it."""
    repo = f"alice/{name}"
    folder = make_folder(work / name, FILES, bytes_each=FILE_BYTES)
    client = Client(hub, work / "home", xet=xet)
    publishing = ("publish", folder, repo, "--commit-bytes", COMMIT_BYTES)
    before = hub.uploaded()
    for _ in range(kills):
        process = client.start(*publishing)
        time.sleep(random.uniform(0, seconds))
        tally.kills += process.poll() is None
        process.kill()
        process.communicate()
    outcome = client.run(*publishing)
    if outcome.code:
        tally.wrong_files.append(f"{name}: {outcome.said}")
    tally.rounds += 1
    excess = hub.uploaded() - before - FILES * FILE_BYTES
    tally.excess.append(excess)
    # Besides data, a commit carries marker and card, and a xorb its headers.
    if excess > kills * (COMMIT_BYTES + FILE_BYTES) + 20_000:
        tally.too_much_sent.append(name)
    look(hub, repo, folder, tally)


def look(hub: HubServer, repo: str, folder: Path, tally: Tally) -> None:
    """Note what is wrong with a repository that is to hold this folder's dataset."""
    data = data_of(folder)
    if data_on(hub, repo) != data:
        tally.wrong_files.append(repo)
    commits = hub.commits(repo, kind="dataset")
    if any(_same(newer, older) for newer, older in pairwise(commits)):
        tally.empty_commits.append(repo)
    if any(_announces(commit, complete=set(data) <= set(commit.files)) for commit in commits):
        tally.announced.append(repo)


def _same(one: Commit, other: Commit) -> bool:
    return {path: file.oid for path, file in one.files.items()} == {
        path: file.oid for path, file in other.files.items()
    }


def _announces(commit: Commit, *, complete: bool) -> bool:
    """Whether the commit shows data without a card that says that there is more to come."""
    card = commit.files["README.md"].content.read() if "README.md" in commit.files else b""
    has_data = any(path.startswith("data/") for path in commit.files)
    return has_data and not complete and b"not complete" not in card


def run_kills(kills: int, *, xet: bool, seconds: float | None = None) -> Tally:
    """Rounds of one to four kills until there were at least so many."""
    tally = Tally()
    with HubServer() as hub, tempfile.TemporaryDirectory() as work:
        hub.add_user("alice", token=TOKEN)
        # So slow that most of the time is spent in transfers.
        hub.fail(Fault(Slow(SLOW_BYTES), Match("/lfs/|/v1/xorbs/"), times=None))
        start = time.monotonic()
        run_round(hub, Path(work), "whole", Tally(), kills=0, seconds=0, xet=xet)
        seconds = seconds or time.monotonic() - start
        while tally.kills < kills:
            some = min(random.randint(1, 4), kills - tally.kills)
            run_round(hub, Path(work), f"round-{tally.rounds}", tally, kills=some, seconds=seconds, xet=xet)
    return tally


def main() -> None:
    """Run and report; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub_stages.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lfs", action="store_true", help="upload by LFS instead of Xet")
    arguments = parser.parse_args()
    tally = run_kills(arguments.kills, xet=not arguments.lfs)
    print("LFS:" if arguments.lfs else "Xet:", tally)
    sys.exit(not tally.sound)


if __name__ == "__main__":
    main()
