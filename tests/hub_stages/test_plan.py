"""What needs no Hub: which commit comes next, which files are needed, how long to wait, what a card may hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx2
import pytest
import yaml

from promptmill.card.markdown import block, cell, code, cut
from promptmill.card.metadata import CardOptions, header
from promptmill.errors import ConfigurationError, StorageError
from promptmill.hub.commits import LocalFile, Publication, next_step
from promptmill.hub.marker import MARKER
from promptmill.hub.patience import Budget, GaveUp, Patience, seconds_of
from promptmill.hub.remote import RemoteFile, RemoteRepo, git_oid
from promptmill.hub.space import parsed_quota, readable, require_room
from promptmill.hub.trouble import asked_wait, passing
from promptmill.hub.watch import Watch
from promptmill.hub.weights import needed_files

TEXTS = ["config.json", "tokenizer.json", "vocab.json", "merges.txt", "LICENSE"]
JUNK = [
    "README.md",
    "onnx/model.onnx",
    "tf_model.h5",
    "original/consolidated.00.pth",
    "consolidated.safetensors",
    "x.py",
]


def local(folder: Path, name: str, content: bytes) -> LocalFile:
    """A file to publish."""
    path = folder / name
    path.write_bytes(content)
    return LocalFile(path, len(content), hashlib.sha256(content).hexdigest())


def remote(**files: bytes) -> RemoteRepo:
    """A repository: parquet in LFS, the rest in git."""
    found = {}
    for name, content in files.items():
        large = name.startswith("data/")
        digest = hashlib.sha256(content).hexdigest() if large else git_oid(content)
        found[name] = RemoteFile(name, len(content), digest, large)
    return RemoteRepo("c" * 40, found)


def test_each_step_is_bounded_and_the_card_is_in_the_last(tmp_path: Path) -> None:
    """From any state that an interruption can leave, the plan leads to the same end."""
    data = {f"data/{n}": bytes([n]) * 40 for n in range(5)}
    files = {name: local(tmp_path, name[5:], content) for name, content in data.items()}
    wanted = Publication(files, b"marker", b"card", b"interim")
    state: dict[str, bytes] = {"data/old": b"x"}
    steps = []
    while (step := next_step(wanted, remote(**state), most_bytes=90)) is not None:
        state |= {name: data[name] for name in step.files} | dict(step.texts)
        state = {name: content for name, content in state.items() if name not in step.removed}
        steps.append((list(step.files), sorted(step.texts), step.removed))
    assert steps == [
        (["data/0", "data/1"], [MARKER, "README.md"], ()),
        (["data/2", "data/3"], [], ()),
        (["data/4"], ["README.md"], ("data/old",)),
    ]
    assert state == {**data, MARKER: b"marker", "README.md": b"card"}


def test_a_file_larger_than_a_commit_goes_alone(tmp_path: Path) -> None:
    """Otherwise it never would."""
    files = {f"data/{n}": local(tmp_path, str(n), bytes(100)) for n in range(2)}
    step = next_step(Publication(files, b"m", b"c", b"i"), remote(), most_bytes=10)
    assert step is not None
    assert (list(step.files), step.left) == (["data/0"], 1)


@pytest.mark.parametrize(
    ("weights", "needed"),
    [
        (["model.safetensors", "pytorch_model.bin", "model-00001-of-00002.safetensors"], ["model.safetensors"]),
        (
            ["model-00001-of-00001.safetensors", "model.safetensors.index.json", "pytorch_model.bin.index.json"],
            ["model-00001-of-00001.safetensors", "model.safetensors.index.json"],
        ),
        (["model.safetensors", "a.gguf", "b.gguf"], ["model.safetensors"]),
        (["only.gguf"], ["only.gguf"]),
    ],
)
def test_one_format_of_the_weights_is_needed(weights: list[str], needed: list[str]) -> None:
    """And the texts that a tokenizer reads; no code, no copies."""
    assert needed_files("m", [*TEXTS, *JUNK, *weights], allow_pickle=False) == tuple(sorted([*TEXTS, *needed]))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (["pytorch_model.bin"], "--allow-pickle"),
        (["a.gguf", "b.gguf"], "2 GGUF files"),
        ([], "no weights that transformers can load"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weights: list[str], says: str) -> None:
    """With what else there is."""
    with pytest.raises(ConfigurationError, match=says):
        needed_files("m", [*TEXTS, *JUNK, *weights], allow_pickle=False)


def test_patience_waits_longer_each_time_and_gives_up_in_time() -> None:
    """Never past the end of its time; what the Hub asks to wait is waited."""
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    budget = Budget(Patience(total_seconds=100), clock=lambda: now[0], sleep=sleep)
    with pytest.raises(GaveUp, match="HTTP 503, "):
        for tries in range(1, 100):
            budget.pause("x", "HTTP 503", tries)
    assert 80 > sum(pauses[:7]) > 15
    assert sum(pauses) < 100
    assert all(0.25 <= pause <= 30 for pause in pauses)
    budget.achieved()
    budget.pause("x", "HTTP 429", 1, at_least=50)
    assert pauses[-1] == 50
    with pytest.raises(GaveUp):
        budget.pause("x", "HTTP 429", 1, at_least=60)


def test_what_the_hub_asks_to_wait_is_read_from_either_header() -> None:
    """Retry-After, and the Hub's own RateLimit."""
    assert asked_wait(httpx2.Response(503, headers={"Retry-After": "7"})) == 7
    assert asked_wait(httpx2.Response(429, headers={"RateLimit": '"api";r=0;t=55'})) == 55
    assert asked_wait(httpx2.Response(429)) is None


def test_failures_that_pass_are_told_from_those_that_do_not() -> None:
    """A full disk, a wrong value and what has been given up are not tried again."""
    assert passing(httpx2.ReadTimeout("x")) == "ReadTimeout (x)"
    assert passing(ConnectionError("xet")) is not None
    assert passing(OSError(28, "No space left on device")) is None
    assert passing(ValueError("x")) is None
    assert passing(GaveUp("x")) is None


def test_the_quota_counts_where_it_is_less() -> None:
    """The hard limit of the file system at hand, in blocks of 1024 bytes; an asterisk marks what is exceeded."""
    answer = (
        "Disk quotas for user me (uid 1):\n     Filesystem  blocks   quota   limit   grace   files\n"
        "  nas:/home   900* 800 1000 6days 4 0 0\n  /dev/sda1 10 0 0 2 0 0\n"
    )
    assert parsed_quota(answer, "nas:/home") == 100 * 1024
    assert parsed_quota(answer, "/dev/sda1") is None
    assert parsed_quota(answer, "/dev/sdb1") is None


def test_the_users_quota_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command `quota`, where there is one."""
    monkeypatch.setattr("promptmill.hub.space.device_of", lambda folder: "nas:/home")
    tool = tmp_path / "quota"
    tool.write_text("#!/bin/sh\necho '  nas:/home 900 800 1000 6days 4 0 0'\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(StorageError, match=r"200\.0 kB are missing, and your quota leaves 102\.4 kB") as caught:
        require_room(200_000, tmp_path / "cache", "the model m")
    assert str(tmp_path / "cache") in str(caught.value)
    assert "HF_HOME" in str(caught.value)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1_234_567, "1.2 MB"), (5 * 10**12, "5.0 TB")])
def test_sizes_are_readable(size: int, text: str) -> None:
    """In powers of a thousand, as disks and the Hub's pages count."""
    assert readable(size) == text


def test_progress_tells_bytes_share_and_time_left() -> None:
    """A plain line, wherever it is shown."""
    arrived = iter([0, 250, 250])
    with Watch("gpt2", 1000, lambda: next(arrived, 250), log_seconds=100) as watch:
        assert watch.line().startswith("gpt2: 250 B of 1.0 kB (25 %), ")
        assert watch.line().endswith(" s left")


HOSTILE = "# a | b <script>`x`</script> ```\n---\n\u202egnirts\x00 [l](javascript:1) ````"


def test_hostile_text_cannot_leave_its_place() -> None:
    """Not its cell, not its code, not its block; nothing unseen stays in it."""
    assert "\n" not in cell(HOSTILE)
    assert "<script" not in cell(HOSTILE)
    assert cell("a|b") == "a\\|b"
    assert block(HOSTILE).startswith("`````text\n")
    assert block(HOSTILE).endswith("\n`````")
    assert "\u202e" not in block(HOSTILE)
    assert "\x00" not in block(HOSTILE)
    assert code("a`b") == "`` a`b ``"
    assert cut("abcdef", 4) == "abcd… (2 more characters)"


def test_what_the_user_says_goes_into_the_header() -> None:
    """Licence, title and tags, whatever is in them; without files nothing is announced to the viewer."""
    options = CardOptions("a/b", "cc-by-4.0", 'My: "data"\n---', ("mine", "synthetic"))
    told = yaml.safe_load(header(options, 0, []).strip().strip("-"))
    assert told["license"] == "cc-by-4.0"
    assert told["pretty_name"] == 'My: "data"\n---'
    assert told["tags"] == ["synthetic", "promptmill", "mine"]
    assert told["viewer"] is False
    assert "configs" not in told


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43200.0), ("30m", 1800.0), ("90s", 90.0), ("1.5", 1.5), ("1d", 86400.0)]
)
def test_times_are_given_with_their_unit(text: str, seconds: float) -> None:
    """As `--auth-max-age 12h`."""
    assert seconds_of(text) == seconds
