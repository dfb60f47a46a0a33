"""The table in docs/hub-faults.md, which `fault_table.py` writes: a few cells to the word, and all of them in kind."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.hub_stages.fault_table import OPERATIONS, cell, trials

COLUMNS = {operation.name: operation for operation in OPERATIONS}
ROWS = {str(trial): trial for trial in trials()}
LINES = (Path(__file__).parents[2] / "docs" / "hub-faults.md").read_text(encoding="utf-8").splitlines()
DOCUMENTED = {cells[1].strip(): cells[2:-1] for cells in (line.split("|") for line in LINES) if len(cells) > 3}


@pytest.mark.parametrize(
    ("operation", "fault", "happens"),
    [
        ("check", "HTTP 503, 2 times, at an API request", "recovered after 3 tries"),
        ("check", "nobody listens", "HubUnavailable (69); then goes on"),
        ("download, HTTP", "reset inside the answer, once, at a file's content", "recovered after 2 tries"),
        ("download, Xet", "HTTP 403, always, at an API request", "AccessDenied (77), 0 of 3 files on disk"),
        ("publish, LFS", "reset while sending, once, at a file's content", "recovered after 2 tries"),
        ("publish, Xet", "silence before the answer, once, at a Xet record", "recovered|no harm"),
        ("publish, Xet", "somebody else commits meanwhile", "recovered after 2 tries"),
        ("publish, LFS", "token revoked after 6 requests", "AccessDenied (77)"),
    ],
)
def test_a_fault_is_survived_or_told(operation: str, fault: str, happens: str) -> None:
    """Recovered, or stopped with an error of ours from which the same command goes on; `cell` looks at the rest."""
    assert cell(ROWS[fault], COLUMNS[operation]).startswith(tuple(happens.split("|")))


@pytest.mark.long
@pytest.mark.parametrize("fault", ROWS)
def test_a_row_of_the_table_is_as_documented(fault: str) -> None:
    """All operations end well, or with the error that the document has; the number of tries differs from day to day."""
    with ThreadPoolExecutor(len(OPERATIONS)) as together:  # Most of the time they wait.
        happened = list(together.map(partial(cell, ROWS[fault]), OPERATIONS))
    assert [kind_of(each) for each in happened] == [kind_of(each) for each in DOCUMENTED[fault]]


def kind_of(text: str) -> str:
    """The exit code, or that it ended well; – where nothing of the kind was asked for."""
    code = re.search(r"\((\d+)\)", text)
    return code[1] if code else text.strip().replace("no harm", "well") if "recovered" not in text else "well"
