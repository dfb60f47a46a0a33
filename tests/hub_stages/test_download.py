"""Downloads: only what is needed, verified, never twice, and a full disk in plain words."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub import Corrupt, Fault, HubServer, Match, Slow
from tests.hub_stages.processes import Client

MODEL = "lab/model"
WEIGHTS = {f"model-{n:05d}-of-00002.safetensors": random.Random(n).randbytes(300_000) for n in (1, 2)}
NEEDED = {"config.json": b"{}", "tokenizer.json": b"[]", "model.safetensors.index.json": b"{}", **WEIGHTS}
OTHERS = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "original/weights.pth", "m.gguf")
CONTENT = Match("^/repos/|^/xorbs/", "GET", "cdn")


@pytest.fixture(params=[True, False], ids=["xet", "http"])
def downloader(client: Client, request: pytest.FixtureRequest) -> Client:
    """A client, by both ways, and a model in all formats."""
    client.hub.state.settings.xet_for_added = request.param
    client.hub.add_model(MODEL, {**NEEDED, **dict.fromkeys(OTHERS, b"\0" * 1000)})
    return replace(client, xet=request.param)


def snapshot(client: Client) -> dict[str, bytes]:
    """What the cache shows of the model."""
    return {path.name: path.read_bytes() for path in client.home.glob("hub/models--*/snapshots/*/*")}


def sent(hub: HubServer) -> int:
    """Bytes of large files that the hub sent."""
    return sum(request.sent for request in hub.requests if request.origin == "cdn")


def test_only_what_is_needed_comes_and_only_once(downloader: Client) -> None:
    """One format of the weights; the second time nothing."""
    outcome = downloader.run("download", MODEL)
    assert outcome.code == 0, outcome.said
    assert snapshot(downloader) == NEEDED
    before = sent(downloader.hub)
    assert before < 610_000
    assert downloader.run("download", MODEL).code == 0
    assert sent(downloader.hub) == before


def test_a_corrupted_file_is_fetched_again(downloader: Client) -> None:
    """Neither HTTP nor Xet notices a flipped byte; the digest does."""
    downloader.hub.fail(Fault(Corrupt(at=1000), CONTENT))
    outcome = downloader.run("download", MODEL)
    assert outcome.code == 0, outcome.said
    assert "is not what the Hub has; it is fetched again" in outcome.said
    assert snapshot(downloader) == NEEDED


def test_what_arrives_damaged_every_time_is_refused(downloader: Client) -> None:
    """Three times, then an error; the damaged file does not stay."""
    downloader.hub.fail(Fault(Corrupt(at=1000), CONTENT, times=None))
    outcome = downloader.run("download", MODEL)
    assert outcome.code == 69
    assert "arrived damaged 3 times" in outcome.said
    assert not set(snapshot(downloader)) & set(WEIGHTS)


def test_after_a_kill_whole_files_are_not_fetched_again(downloader: Client) -> None:
    """Only what was under way comes again."""
    fault = downloader.hub.fail(Fault(Slow(100_000), CONTENT, times=None, skip=1))
    process = downloader.start("download", MODEL)
    try:
        deadline = time.monotonic() + 30
        while not (fault.hits and set(snapshot(downloader)) & set(WEIGHTS)) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    kept = {path: path.stat().st_ino for path in downloader.home.glob("hub/models--*/blobs/*") if len(path.name) == 64}
    assert len(kept) == 1
    downloader.hub.heal()
    before = sent(downloader.hub)
    assert downloader.run("download", MODEL).code == 0
    assert snapshot(downloader) == NEEDED
    assert {path: path.stat().st_ino for path in kept} == kept
    assert sent(downloader.hub) - before < 400_000


def test_two_processes_download_once(downloader: Client) -> None:
    """One fetches a file, the other waits for it, and both end well."""
    downloader.hub.fail(Fault(Slow(400_000), CONTENT, times=None))
    processes = [downloader.start("download", MODEL) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sent(downloader.hub) < 610_000


def test_a_pinned_commit_stays_when_main_moves(client: Client) -> None:
    """The commit is what is asked for from then on."""
    client.hub.add_model(MODEL, {"config.json": "{}", "model.safetensors": b"old" * 50})
    first = client.run("download", MODEL)
    assert first.result is not None, first.said
    client.hub.commit(MODEL, {"model.safetensors": b"new" * 50})
    again = client.run("download", MODEL, "--revision", first.result["commit"])
    assert again.result is not None, again.said
    assert (Path(again.result["folder"]) / "model.safetensors").read_bytes() == b"old" * 50


def test_pickled_weights_are_refused_unless_allowed(client: Client) -> None:
    """The message names the file, and what else can be done."""
    client.hub.add_model(MODEL, {"config.json": "{}", "pytorch_model.bin": b"\0" * 100})
    refused = client.run("download", MODEL)
    assert refused.code == 78
    assert "pytorch_model.bin alone, a pickle" in refused.said
    assert "--allow-pickle" in refused.said
    allowed = client.run("download", MODEL, "--allow-pickle")
    assert allowed.result is not None, allowed.said
    assert allowed.result["files"] == ["config.json", "pytorch_model.bin"]


@pytest.fixture
def small_disk(downloader: Client) -> Iterator[Path]:
    """The cache lies on a file system of half a megabyte."""
    downloader.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(downloader.home)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system can be mounted by root only: {mounted.stderr.strip()}")
    yield downloader.home
    subprocess.run(["umount", "-l", str(downloader.home)], check=True)


def test_too_little_space_is_said_before_the_first_byte(downloader: Client, small_disk: Path) -> None:
    """Sizes, the cache's folder and the variable to set; nothing is fetched."""
    outcome = downloader.run("download", MODEL)
    assert outcome.code == 74, outcome.said
    assert all(word in outcome.said for word in ("600.0 kB are missing", str(small_disk / "hub"), "HF_HOME"))
    assert sent(downloader.hub) == 0


def test_a_disk_that_fills_up_meanwhile_says_the_same(downloader: Client, small_disk: Path) -> None:
    """No torn file counts as whole, and with more room the second run fetches only what is missing."""
    downloader.hub.fail(Fault(Slow(300_000), CONTENT, times=None))
    subprocess.run(["mount", "-o", "remount,size=1100k", str(small_disk)], check=True)
    process = downloader.start("download", MODEL, HF_XET_CACHE=str(small_disk.parent / "xet"))
    while not sent(downloader.hub):
        time.sleep(0.01)
    (small_disk / "somebody-elses").write_bytes(b"x" * 600_000)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 74, said
    assert "There is no space for the model lab/model" in said
    assert "HF_HOME" in said
    assert "Traceback" not in said
    assert all(NEEDED[name] == content for name, content in snapshot(downloader).items())
    (small_disk / "somebody-elses").unlink()
    downloader.hub.heal()
    outcome = downloader.run("download", MODEL, HF_XET_CACHE=str(small_disk.parent / "xet"))
    assert outcome.code == 0, outcome.said
    assert snapshot(downloader) == NEEDED
