"""Several processes that are started on one run by mistake lose nothing, double nothing, and do not fall over."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.small_run import PROMPTS, SmallRun

CALM = 0
KILLED = -signal.SIGKILL
ATTEMPTS = [
    pytest.param(range(2), id="twice"),
    pytest.param(range(2, 6), id="four times more", marks=pytest.mark.long),
]
"""In every other one processes are killed."""


@pytest.fixture
def expected(tmp_path: Path, tiny_gpt2: Path) -> dict[str, bytes]:
    """The dataset of a run that was left alone."""
    calm = SmallRun(tmp_path / "calm", tiny_gpt2)
    calm.live()
    return calm.dataset()


@pytest.mark.parametrize("attempts", ATTEMPTS)
@pytest.mark.parametrize("processes", [2, 8])
@pytest.mark.parametrize("apart", [0.0, 0.02], ids=["together", "staggered"])
def test_many_on_one_run(
    attempts: range, processes: int, apart: float, tmp_path: Path, tiny_gpt2: Path, expected: dict[str, bytes]
) -> None:
    """From the first file to the dataset, every other time some are killed on the way: always the same dataset."""
    for attempt in attempts:
        chance = random.Random(10 * processes + attempt)
        small = SmallRun(tmp_path / f"run-{attempt}", tiny_gpt2)
        _live_together([small] * processes, apart, chance, kill=attempt % 2 == 1)
        _require_whole(small, expected)


@pytest.mark.parametrize("attempts", ATTEMPTS)
def test_two_mounts_of_one_file_system(
    attempts: range, tmp_path: Path, tiny_gpt2: Path, expected: dict[str, bytes]
) -> None:
    """Processes that see the run's folder at different places, as nodes may, agree on it all the same."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    mounted = subprocess.run(["mount", "--bind", str(here), str(there)], capture_output=True, check=False)
    if mounted.returncode:
        assert not os.environ.get("PROMPTMILL_REQUIRE_MOUNT"), mounted.stderr
        pytest.skip("this user may not mount a file system")
    try:
        for attempt in attempts:
            chance = random.Random(attempt)
            places = [SmallRun(folder / f"run-{attempt}", tiny_gpt2) for folder in (here, there)]
            _live_together([places[number % 2] for number in range(4)], 0.0, chance, kill=attempt % 2 == 1)
            _require_whole(places[attempt % 2], expected)
    finally:
        subprocess.run(["umount", "-l", str(there)], check=True)


def _live_together(places: Sequence[SmallRun], apart: float, chance: random.Random, *, kill: bool) -> None:
    """A process at each place, begun one after the other; if told so, up to half of them are killed."""
    children = [_child(small, number * apart) for number, small in enumerate(places)]
    victims = set(chance.sample(children, chance.randint(1, len(children) // 2) if kill else 0))
    time.sleep(chance.uniform(0, 0.3))
    for child in victims:
        os.kill(child, signal.SIGKILL)
    ends = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert {ends[child] for child in children if child not in victims} <= {CALM}, _said(places[0])
    assert {ends[child] for child in victims} <= {CALM, KILLED}, _said(places[0])


def _require_whole(small: SmallRun, expected: dict[str, bytes]) -> None:
    small.live()
    assert small.dataset() == expected
    assert len(set(small.rows())) == len(small.rows()) == PROMPTS
    assert not list(small.run.path.rglob("*.corrupt*"))


def _child(small: SmallRun, wait: float) -> int:
    """A process of its own that runs the whole graph; forked, so that the libraries need not be imported again."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        time.sleep(wait)
        code, said = small.attempt()
        (small.folder / f"said-{os.getpid()}").write_text("\n".join(said))
    finally:
        os._exit(code)


def _said(small: SmallRun) -> str:
    return "\n".join(path.read_text() for path in small.folder.glob("said-*"))
