"""Findings for people: a line each as they come, at most 80 columns wide in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from promptmill.doctor.values import Finding

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}
_CHECK_WIDTH = 18


def shown(finding: Finding) -> Table:
    """One finding, in columns that are the same for all."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(width=4)
    table.add_column(width=_CHECK_WIDTH, overflow="fold")
    table.add_column(overflow="fold", ratio=1)
    text = Text(finding.says)
    if finding.do is not None and finding.verdict != "pass":
        text.append(f"\n→ {finding.do}")
    table.add_row(Text(finding.verdict, style=_COLOURS[finding.verdict]), finding.check, text)
    return table


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    counts = Counter(finding.verdict for finding in findings)
    if not counts["fail"] and not counts["warn"]:
        return "Everything is as it should be."
    parts = [f"{counts['fail']} to repair"] if counts["fail"] else []
    parts += [f"{counts['warn']} to know of"] if counts["warn"] else []
    return f"{', '.join(parts)}; the other {counts['pass']} are as they should be."
