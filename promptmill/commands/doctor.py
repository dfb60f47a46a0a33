"""`promptmill doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from promptmill.commands.ending import ending_on_error

EXAMPLE = "Example: promptmill doctor --data-dir /scratch/me/data. In scripts: promptmill doctor --json"


@ending_on_error
def doctor(
    data_dir: Annotated[Path, typer.Option(help="The data folder that runs will have.")] = Path("data"),
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds after which a check has failed.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")] = False,
) -> None:
    """Check what runs need: packages, GPUs, the Hub and your login, folders, Slurm. Ends with 1 if something fails."""
    from promptmill.commands.console import output
    from promptmill.doctor.checks import CHECKS
    from promptmill.doctor.isolated import findings
    from promptmill.doctor.showing import shown, summary
    from promptmill.doctor.values import worst

    console, found = output(), []
    for finding in findings(list(CHECKS), data_dir, seconds=timeout):
        found.append(finding)
        if not as_json:
            console.print(shown(finding))
    if as_json:
        typer.echo(json.dumps({"verdict": worst(found), "findings": [one.to_json() for one in found]}))
    else:
        console.print(f"\n{summary(found)}")
    if worst(found) == "fail":
        raise typer.Exit(1)
