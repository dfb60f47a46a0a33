"""The soak works, at small size; that a run survives real kills is in tests/workflows/test_kills.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import write_prompts
from tests.chaos.soak import Life, growth, soak, table


@pytest.mark.long
def test_a_soak_tells_memory_files_and_rows(tmp_path: Path, slow_gpt2: Path) -> None:
    """Each life is watched until it is killed; no row that was committed goes."""
    write_prompts(tmp_path / "prompts.jsonl", 3000)
    options = ["--model", slow_gpt2, "--prompts", tmp_path / "prompts.jsonl", "--max-new-tokens", 48]
    lives, seen = soak(tmp_path, [*options, "--checkpoint-seconds", 0.5], 10, between=(8, 12))
    assert lives
    assert all(life.memory > 10**8 and life.files > 3 for life in lives)
    assert sum(life.rows for life in lives) == len(seen.rows)
    assert seen.lost == set()


def test_growth_is_that_of_the_last_lives_against_the_first() -> None:
    """Medians, so that one life that was killed early does not count."""
    lives = [Life(at, 1000 + at, 7, 3, 1) for at in range(1, 61)]
    assert round(growth(lives), 3) == round(1055.5 / 1005.5 - 1, 3)
    assert table(lives).splitlines()[2] == "| 0 | 10 | 0 | 7 | 30 | 10 |"
