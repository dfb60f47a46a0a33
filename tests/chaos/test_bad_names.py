"""Hostile values on the command line: a sentence and a code of its own, or right handling, and nothing elsewhere."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.forkserver import run_command

UNFIT = ("x" * 300, "a/" * 3000, "\udcff")
NAMES = (
    "../up",
    "/abs/olute",
    "a\nb",
    "x" * 300,
    "-rf",
    "%s",
    "%(x)s{y}",
    "😀",
    "..",
    ".",
    "a//b",
    "\udcff",
    "\x1b[31m",
    " ",
)
NUMBERS = {
    "temperature": ("inf", "nan", "-1", "1e400"),
    "top-p": ("nan", "0", "inf"),
    "min-p": ("nan", "1", "-0.1"),
    "repetition-penalty": ("nan", "inf", "0", "1e400"),
    "top-k": ("-1", "1" + "0" * 30, "1.5"),
    "max-new-tokens": ("0", "1" + "0" * 30, "9" * 5000),
    "samples-per-prompt": ("0", "1" + "0" * 30),
    "limit": ("0", "-1"),
    "seed": ("-1", str(2**63)),
    "checkpoint-seconds": ("nan", "inf", "-1"),
    "batch-size": ("-1", "1e3", "nan"),
    "publish-timeout": ("nan", "-1h", "inf"),
    "auth-max-age": ("nan", "1.5.1h"),
}
TEXTS = {
    "stop": ("[", '["a"', "[1]", '["\\ud800"]', "\udcff", '[""]'),
    "system-prompt": ("\udcff",),
    "template": ("\udcff", "@", "@.", "@pipe", "@loop", "{% for x in row %}", "{{ a.b.c }}", "{{ ''.__class__ }}"),
    "prompt-column": ("\udcff", "x" * 10_000, "\n"),
    "prompts": ("pipe", "pipe.jsonl", "loop", "loop.jsonl", ".", "/dev/zero", "x" * 300, "\udcff.jsonl", "%s", "-rf"),
    "max-memory": ("nan", "-1GiB", "{}", '{"0": "x"}'),
    "device-map": ("\udcff", "{"),
    "gpus-per-copy": ("0", "-1"),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which commands run, with a pipe and a circle of links."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "good.jsonl").write_text('{"prompt": "Hello"}\n')
    for name in ("pipe", "pipe.jsonl"):
        os.mkfifo(folder / name)
    for name in ("loop", "loop.jsonl"):
        (folder / name).symlink_to(name)
    return folder


def run_many(place: Path, model: Path, cases: list[list[str]]) -> list[tuple[int, str]]:
    """How the commands end and what they say; of the things that a case leaves out there are good ones."""
    given = [
        [*(f"--{name}={value}" for name, value in (("model", model), ("prompts", "good.jsonl"))), *case,
         "--max-new-tokens=2" if not any("max-new" in option for option in case) else "--limit=1"]
        for case in cases
    ]  # fmt: skip
    commands = place.parent / "commands.json"
    commands.write_text(json.dumps(given))
    with commands.open() as stdin:
        commands.unlink()  # nothing is to be there but what the commands make
        done = run_command([sys.executable, "-m", "tests.chaos.many"], cwd=place, stdin=stdin.fileno(), check=True)
    return [(code, said) for code, said in json.loads(done.stdout)]


def require_sentences(cases: list[list[str]], outcomes: list[tuple[int, str]]) -> None:
    """All were refused, by an error of ours, in a few lines."""
    wrong = [
        (case[-1][:60], code, said[-600:])
        for case, (code, said) in zip(cases, outcomes, strict=True)
        if not 64 < code < 79 or "Traceback" in said or not 20 < len(said) < 3000 or "\x1b" in said
    ]
    assert wrong == []


def below(folder: Path) -> set[str]:
    """Every file and folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_hostile_names_are_refused_and_make_nothing(place: Path, tiny_gpt2: Path) -> None:
    """For --name, --model and --publish-to: a code of ours, and no file, in the data folder or elsewhere."""
    before = below(place.parent)
    cases = [[f"--{option}={name}"] for option in ("name", "model") for name in NAMES]
    cases += [[f"--publish-to={name}", "--name=a"] for name in NAMES]
    outcomes = run_many(place, tiny_gpt2, cases)
    require_sentences(cases, outcomes)
    made = below(place.parent) - before
    assert all(
        path.startswith("place/data/runs/a/") or path in ("place/data", "place/data/runs", "place/data/runs/a")
        for path in made
    )
    assert not Path("/abs").exists()


def test_bad_values_are_refused_in_a_sentence(place: Path, tiny_gpt2: Path) -> None:
    """Numbers that are none, texts that are none, files that never end."""
    cases = [
        [f"--{option}={value}"]
        for options in (NUMBERS, TEXTS)
        for option, values in options.items()
        for value in values
    ]
    require_sentences(cases, run_many(place, tiny_gpt2, cases))


def test_a_data_folder_may_have_any_name_that_the_disk_takes(place: Path, tiny_gpt2: Path) -> None:
    """A run is whole there, unpickles nothing, writes nowhere else; a name that is too long, or no text, is said."""
    odd = "-rf\n%s {x}😀\x1b"
    outcomes = run_many(place, tiny_gpt2, [[f"--data-dir={name}"] for name in (odd, *UNFIT)])
    assert [code for code, _ in outcomes] == [0, 74, 74, 78]
    assert not [said for _, said in outcomes if "Traceback" in said or "\x1b" in said or "UNPICKLED" in said]
    assert {path.name for path in place.iterdir()} == {odd, "good.jsonl", "pipe", "pipe.jsonl", "loop", "loop.jsonl"}
    assert [path.name for path in place.parent.iterdir()] == ["place"]
