"""`promptmill status`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from promptmill.commands.ending import ending_on_error

EXAMPLE = "Example: promptmill status data/runs/my-run --watch. In scripts: promptmill status my-run --json"


@ending_on_error
def status(
    run: Annotated[str | None, typer.Argument(help="Folder or name of a run. Default: the latest.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The data folder, where names are looked up.")] = Path("data"),
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks with --watch.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")] = False,
) -> None:
    """Show how a run is doing: rows, shards, speed, time left, restarts, errors. Reads files; changes none."""
    from promptmill.commands.console import output
    from promptmill.status.choosing import choose_run
    from promptmill.status.reading import read_status
    from promptmill.status.showing import shown

    chosen = choose_run(run, data_dir)
    console = output()
    while True:
        value = read_status(chosen)
        if as_json:
            typer.echo(json.dumps(value.to_json(), ensure_ascii=False))
        else:
            if watch and console.is_terminal:
                console.clear()
            console.print(shown(value))
        if not watch or value.state == "complete":
            return
        time.sleep(interval)
