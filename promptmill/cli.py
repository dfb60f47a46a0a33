"""`promptmill`: what people look with. What makes things is a graph, and run by `luigi`."""

from __future__ import annotations

import typer

from promptmill.commands import chat, doctor, fit, report, status

app = typer.Typer(
    help="Look at models, runs and datasets. To make one: luigi --module workflows BuildDataset --local-scheduler",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _commands() -> None:
    """Look at models, runs and datasets; make them with `luigi --module workflows BuildDataset --local-scheduler`."""


app.command(epilog=chat.EXAMPLE)(chat.chat)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
app.command(epilog=fit.EXAMPLE)(fit.fit)
app.command(epilog=report.EXAMPLE)(report.report)
app.command(epilog=status.EXAMPLE)(status.status)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
