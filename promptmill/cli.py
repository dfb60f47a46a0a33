"""`promptmill`: what people look with. What makes things is a graph, and run by `luigi`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from promptmill.errors import PromptmillError

app = typer.Typer(
    help="Look at runs of promptmill. To make a dataset: luigi --module workflows BuildDataset --local-scheduler",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _commands() -> None:
    """Look at runs of promptmill; make them with `luigi --module workflows BuildDataset --local-scheduler`."""


@app.command(epilog="Example: promptmill status data/runs/my-run --watch. In scripts: promptmill status my-run --json")
def status(
    run: Annotated[str | None, typer.Argument(help="Folder or name of a run. Default: the latest.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The data folder, where names are looked up.")] = Path("data"),
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks with --watch.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")] = False,
) -> None:
    """Show how a run is doing: rows, shards, speed, time left, restarts, errors. Reads files; changes none."""
    try:
        _status(run, data_dir, watch=watch, interval=interval, as_json=as_json)
    except PromptmillError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _status(name: str | None, data: Path, *, watch: bool, interval: float, as_json: bool) -> None:
    from rich.console import Console

    from promptmill.status.choosing import choose_run
    from promptmill.status.reading import read_status
    from promptmill.status.showing import shown

    run = choose_run(name, data)
    # A pipe has no width of its own: 80 columns, as most terminals.
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    while True:
        value = read_status(run)
        if as_json:
            typer.echo(json.dumps(value.to_json(), ensure_ascii=False))
        else:
            if watch and console.is_terminal:
                console.clear()
            console.print(shown(value))
        if not watch or value.state == "complete":
            return
        time.sleep(interval)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
