"""A run is the same with its prompts' file gone, the same rows in another file, or its model elsewhere; else never."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from promptmill.errors import ConfigurationError, NotFound
from promptmill.run import RunFolder
from tests.chaos.small_run import PROMPTS, SmallRun, lose_a_shard


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2: Path) -> SmallRun:
    """A complete run."""
    run = SmallRun(tmp_path_factory.mktemp("done"), tiny_gpt2)
    run.live()
    return run


@pytest.fixture
def small(done: SmallRun, tmp_path: Path) -> SmallRun:
    """The same, with a file of prompts of its own."""
    return done.copied(tmp_path)


def _write(path: Path, prompts: range) -> Path:
    path.write_text("".join(json.dumps({"prompt": f"Say {number}"}) + "\n" for number in prompts))
    return path


def test_the_same_rows_in_another_file_are_the_same_run(small: SmallRun, done: SmallRun, tmp_path: Path) -> None:
    """Compressed, and as CSV; half done and complete; what was found is not looked for again."""
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(small.prompts.read_bytes()))
    lose_a_shard(small.run)
    rows: list[tuple[int, int]] = []
    assert small.attempt(rows, prompts=packed) == (0, small.said)
    assert len(rows) == PROMPTS // 2
    assert small.dataset() == done.dataset()
    table = tmp_path / "table.csv"
    table.write_text("prompt\n" + "".join(f"Say {number}\n" for number in range(PROMPTS)))
    assert small.attempt(rows, prompts=table) == (0, [])
    assert len(rows) == PROMPTS // 2
    assert not list(small.run.prompts_table.parent.glob(".given-*"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (range(PROMPTS + 4), f"prompts: {PROMPTS} rows → {PROMPTS + 4} rows; the first {PROMPTS} are the same"),
        (range(PROMPTS - 2), f"prompts: {PROMPTS} rows → {PROMPTS - 2} rows; the first {PROMPTS - 2} are the same"),
        (range(1, PROMPTS + 2), f"prompts: {PROMPTS} rows → {PROMPTS + 1} rows; the first {PROMPTS} are others"),
        (range(1, PROMPTS + 1), f"prompts: {PROMPTS} rows as before, with other texts or columns"),
    ],
)
def test_other_rows_are_refused_in_words(rows: range, says: str, small: SmallRun, tmp_path: Path) -> None:
    """How many there were and are, and whether some were only added."""
    before = small.dataset()
    code, said = small.attempt(prompts=_write(tmp_path / "other.jsonl", rows))
    assert code == ConfigurationError.exit_code
    assert says in "\n".join(said)
    assert small.dataset() == before


@pytest.mark.parametrize("half", [False, True])
def test_a_run_needs_its_prompts_file_no_more(half: bool, done: SmallRun, tiny_gpt2: Path, tmp_path: Path) -> None:
    """Complete it stays complete; half done it goes on; both say what is gone."""
    own = tmp_path / "own.jsonl"
    own.write_bytes(done.prompts.read_bytes())
    small = SmallRun(tmp_path / "run", tiny_gpt2)
    assert small.attempt(prompts=own, name=None)[0] == 0
    (run,) = (small.data / "runs").iterdir()
    if half:
        shutil.rmtree(run / "dataset")
        (run / "dataset.json").unlink()
    own.unlink()
    rows: list[tuple[int, int]] = []
    code, said = small.attempt(rows, prompts=own, name=None)
    assert (code, rows) == (0, []), said
    assert f"{own} is gone; {run} has its prompts" in "\n".join(said)
    assert [path.name for path in (small.data / "runs").iterdir()] == [run.name]


def test_a_file_that_no_run_had_is_not_there(small: SmallRun, tmp_path: Path) -> None:
    """A path that was mistyped begins nothing, and goes on with nothing."""
    code, said = small.attempt(prompts=tmp_path / "nowhere.jsonl")
    assert code == NotFound.exit_code
    assert "There is no file" in "\n".join(said)


def test_prompts_that_were_different_are_not_guessed(tiny_gpt2: Path, tmp_path: Path) -> None:
    """Two runs from the same path, which held other rows in between."""
    small, own = SmallRun(tmp_path / "run", tiny_gpt2), tmp_path / "own.jsonl"
    for rows in (range(2), range(3)):
        assert small.attempt(prompts=_write(own, rows), name=None)[0] == 0
    own.unlink()
    code, said = small.attempt(prompts=own, name=None)
    assert code == ConfigurationError.exit_code
    names = sorted(path.name for path in (small.data / "runs").iterdir())
    assert f"Say which you mean: --name {names[0]} or --name {names[1]}" in "\n".join(said)
    assert small.attempt(prompts=own, name=names[1])[0] == 0


def test_an_equal_run_under_another_name_is_mentioned(small: SmallRun) -> None:
    """It begins all the same: --name is what the user says."""
    code, said = small.attempt(name="again")
    assert code == 0
    assert "runs/small has these settings and prompts too, and its dataset is complete. --name small" in "\n".join(said)
    assert small.attempt(name="again") == (0, [])


@pytest.mark.parametrize("name", ["small", None])
@pytest.mark.parametrize("half", [False, True])
def test_a_model_is_its_content(name: str | None, half: bool, tiny_gpt2: Path, tmp_path: Path) -> None:
    """Its folder renamed, with what tools leave in one: the run goes on, by its name and without one."""
    old = Path(shutil.copytree(tiny_gpt2, tmp_path / "old"))
    first = SmallRun(tmp_path / "run", old)
    assert first.attempt(name=name)[0] == 0
    (run,) = (first.data / "runs").iterdir()
    before = (run / "dataset.json").read_bytes()
    if half:
        lose_a_shard(RunFolder(run))
    new = old.rename(tmp_path / "new")
    (new / ".git").mkdir()
    (new / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (new / "README.md").write_text("notes")
    (new / "checkpoint-500").mkdir()
    (new / "checkpoint-500" / "optimizer.pt").write_bytes(b"state")
    rows: list[tuple[int, int]] = []
    second = SmallRun(tmp_path / "run", new)
    code, said = second.attempt(rows, name=name)
    assert (code, len(rows)) == (0, PROMPTS // 2 if half else 0), said
    assert f"{new} has the model of {run}, which lay at {old}" in "\n".join(said)
    assert [path.name for path in (first.data / "runs").iterdir()] == [run.name]
    assert (run / "dataset.json").read_bytes() == before
    assert second.attempt(rows, name=name) == (0, [])


def test_a_model_of_other_content_names_the_file(tiny_gpt2: Path, tmp_path: Path) -> None:
    """At the same path and at another one."""
    model = Path(shutil.copytree(tiny_gpt2, tmp_path / "model"))
    small = SmallRun(tmp_path / "run", model)
    small.live()
    lose_a_shard(small.run)
    config = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**config, "max_length": 77}))
    code, said = small.attempt()
    assert code == ConfigurationError.exit_code
    assert "generation_config.json is another. Restore them" in "\n".join(said)
    other = SmallRun(tmp_path / "run", model.rename(tmp_path / "elsewhere"))
    code, said = other.attempt()
    assert code == ConfigurationError.exit_code
    assert "was begun with other settings" in "\n".join(said)
