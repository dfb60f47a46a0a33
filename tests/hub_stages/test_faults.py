"""A few cells of the table in docs/hub-faults.md; `fault_table.py` writes all of them."""

from __future__ import annotations

import pytest

from tests.hub_stages.fault_table import OPERATIONS, cell, trials

COLUMNS = {operation.name: operation for operation in OPERATIONS}
ROWS = {str(trial): trial for trial in trials()}


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
