"""The verdict in a terminal, after the report was written."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from promptmill.report.values import Level, Report

_COLOURS: dict[Level, str] = {"good": "green", "look": "yellow", "bad": "red"}


def shown(report: Report, path: Path) -> RenderableType:
    """The verdict, what is worth a look, and where the rest is."""
    verdict = report.verdict
    headline = Text(verdict.word, style=f"bold {_COLOURS[verdict.level]}")
    headline.append(f": {verdict.sentence}", style="not bold default")
    parts: list[RenderableType] = [headline]
    for finding in verdict.findings:
        parts.append(Text(f"\n{finding.text}", style=_COLOURS[finding.level] if finding.level == "bad" else ""))
        parts.append(Text(finding.advice))
    parts.append(Text("\nThe whole report, to open in a browser:"))
    # On a line of its own and never broken: paths are copied.
    parts.append(Text(str(path), overflow="ignore", no_wrap=True))
    return Group(*parts)
