"""`promptmill report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptmill.commands.ending import ending_on_error

EXAMPLE = "Example: promptmill report data/runs/my-run. Elsewhere: promptmill report my-run --output ~/my-run.html"


@ending_on_error
def report(
    run: Annotated[str | None, typer.Argument(help="Folder or name of a run. Default: the latest.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The data folder, where names are looked up.")] = Path("data"),
    output: Annotated[Path | None, typer.Option(help="The file to write. Default: report.html in the run.")] = None,
) -> None:
    """Write a run's report, finished or not: one HTML file that opens offline. Is the dataset any good?"""
    from promptmill.commands.console import output as console
    from promptmill.report.showing import shown
    from promptmill.report.writing import write_report
    from promptmill.status.choosing import choose_run

    chosen = choose_run(run, data_dir)
    path = output or chosen.report
    console().print(shown(write_report(chosen, path), path))
