"""Several processes that fetch the same model, or publish the same dataset, some of them killed on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence

import pytest

from tests.hub import Fault, Match, Slow
from tests.hub_stages.kills import COMMIT_BYTES, Tally, look
from tests.hub_stages.processes import Client, make_folder

MODEL, REPO = "lab/model", "alice/made-together"
NEEDED = {"config.json": b"{}", "tokenizer.json": b"[]", "model.safetensors": random.Random(1).randbytes(600_000)}
KILLED = -signal.SIGKILL


@pytest.mark.parametrize("processes", [2, 8])
def test_many_download_one_model(client: Client, processes: int) -> None:
    """The others take over from one that was killed; the cache is whole; a file sent again a kill is all the waste."""
    client.hub.add_model(MODEL, NEEDED)
    client.hub.fail(Fault(Slow(300_000), Match("^/repos/|^/xorbs/", "GET", "cdn"), times=None))
    started = [client.start("download", MODEL) for _ in range(processes)]
    kills = _killed(client, started[: processes // 2], random.Random(processes))
    _require_good_ends(started)
    shown = {path.name: path.read_bytes() for path in client.home.glob("hub/models--*/snapshots/*/*")}
    assert shown == NEEDED
    sent = sum(request.sent for request in client.hub.requests if request.origin == "cdn")
    assert sent < 620_000 * (1 + kills)


@pytest.mark.parametrize("processes", [2, 8])
def test_many_publish_one_dataset(client: Client, processes: int) -> None:
    """Every file once, no commit without a change, no part of the dataset announced as the whole."""
    folder = make_folder(client.home / "made", 20)
    client.hub.fail(Fault(Slow(500_000), Match("/lfs/|/v1/xorbs/"), times=None))
    started = [client.start("publish", folder, REPO, "--commit-bytes", COMMIT_BYTES) for _ in range(processes)]
    _killed(client, started[: processes // 2], random.Random(processes))
    _require_good_ends(started)
    tally = Tally()
    look(client.hub, REPO, folder, tally)
    assert tally.sound, str(tally)


def _killed(client: Client, some: Sequence[subprocess.Popen[str]], chance: random.Random) -> int:
    """Kill these one after the other at random moments once the first has begun; how many had not ended by then."""
    limit, kills = time.monotonic() + 60, 0
    while not client.hub.requests:
        assert time.monotonic() < limit, "nobody asked the Hub for anything"
        time.sleep(0.02)
    for process in some:
        time.sleep(chance.uniform(0, 0.5))
        kills += process.poll() is None
        process.kill()
    return kills


def _require_good_ends(started: Sequence[subprocess.Popen[str]]) -> None:
    said = [process.communicate(timeout=120)[1] for process in started]
    ends = [process.returncode for process in started]
    assert set(ends[len(ends) // 2 :]) == {0}, said
    assert set(ends) <= {0, KILLED}, said
