"""A file that is damaged or another run's is found when it is read next, named, set aside, and made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from promptmill.errors import StorageError
from promptmill.files import CORRUPT_MARK
from tests.chaos.small_run import PROMPTS, SmallRun

HALF_DONE = "with half the rows"
DONE = "with all rows, before the dataset"
RECORDS = ("identity.json", "prompts.json", "model.json", "placement-cpu.json", "prompts/prompts.parquet")
ROWS = ("shards/00000/chunk-000001-*.parquet", "shards/00001/chunk-000003-*.parquet", "shards/00000.json")


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        at = min(int(len(content) * place), len(content) - 1)
        return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]

    return flip


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": _truncated,
    "empty": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    **{f"flipped at {place:.0%}": _flipped(place) for place in (0, 0.2, 0.5, 0.8, 1)},
}
FEW = ("truncated", "flipped at 50%")
"""In every file; the others in the long run."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2: Path) -> dict[str, SmallRun]:
    """The small run at two moments, and the same of other settings."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for state in (HALF_DONE, DONE):
        run = found[state] = SmallRun(folder / state.replace(" ", "-"), tiny_gpt2)
        run.live()
        shutil.rmtree(run.run.dataset)
        run.run.dataset_manifest.unlink()
        if state == HALF_DONE:
            (run.run.shards / "00000.json").unlink()
            shutil.rmtree(run.run.shards / "00001")
            (run.run.shards / "00001.json").unlink()
    found["other"] = SmallRun(folder / "other", tiny_gpt2, seed=1, verb="Sing")
    found["other"].live()
    return found


@pytest.mark.parametrize("kinds", [FEW, pytest.param(tuple(DAMAGES), marks=pytest.mark.long)], ids=["few", "all"])
@pytest.mark.parametrize("state", [HALF_DONE, DONE])
@pytest.mark.parametrize("name", [*RECORDS, *ROWS])
def test_damage_costs_what_the_file_held_and_no_more(
    name: str, state: str, kinds: tuple[str, ...], runs: dict[str, SmallRun], tiny_gpt2: Path, tmp_path: Path
) -> None:
    """The next start names the file, keeps it aside, makes its content anew, and ends in the same dataset."""
    expected = SmallRun(tmp_path / "calm", tiny_gpt2)
    expected.live()
    there = sorted(runs[state].run.path.glob(name))
    if not there:
        assert state == HALF_DONE
        return
    other = next(iter(sorted(runs["other"].run.path.glob(name))))
    damages = {kind: DAMAGES[kind] for kind in kinds}
    for kind, damage in {**damages, "another run's": lambda content: other.read_bytes()}.items():
        small = runs[state].copied(tmp_path / kind.replace(" ", "-"))
        (path,) = small.run.path.glob(name)
        held = _rows_in(path, small)
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        if path.read_bytes() == whole:
            continue  # the other run has the very same, as the model's record
        made = small.live()
        assert small.dataset() == expected.dataset(), kind
        assert len(set(small.rows())) == len(small.rows()) == PROMPTS
        missing = PROMPTS - 3 if state == HALF_DONE else 0
        assert len(made) == missing + held, f"{kind}: {made}"
        aside = [found for found in small.run.path.rglob(f"*{CORRUPT_MARK}*") if found.name.startswith(path.name)]
        assert aside, kind
        assert any(path.name in line and "set aside" in line for line in small.said), kind


def _rows_in(path: Path, small: SmallRun) -> int:
    """The rows that are made again when this file is lost."""
    return 1 if path.name.startswith("chunk-") else 0


def test_settings_that_are_damaged_are_nobodys_to_guess(runs: dict[str, SmallRun], tmp_path: Path) -> None:
    """A run without its settings is refused, with the file's name; nothing is touched."""
    small = runs[DONE].copied(tmp_path / "run")
    small.run.record.write_bytes(_flipped(0.5)(small.run.record.read_bytes()))
    before = {path: path.read_bytes() for path in small.run.path.rglob("*") if path.is_file()}
    code, said = small.attempt()
    assert code == StorageError.exit_code
    assert "run.json is damaged. Restore it, or start again with another --name." in "\n".join(said)
    assert {path: path.read_bytes() for path in small.run.path.rglob("*") if path.is_file()} == before


def test_a_damaged_dataset_is_laid_out_anew(runs: dict[str, SmallRun], tmp_path: Path) -> None:
    """A dataset file that is shorter than it was, or a manifest of another run, are made again without a row."""
    small = runs[DONE].copied(tmp_path / "run")
    small.live()
    expected = small.dataset()
    (small.run.dataset / "data" / "train-00001-of-00002.parquet").write_bytes(b"short")
    assert small.live() == []
    assert small.dataset() == expected
    small.run.dataset_manifest.write_bytes(runs["other"].run.dataset_manifest.read_bytes())
    assert small.live() == []
    assert small.dataset() == expected
