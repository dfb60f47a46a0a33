"""How a command ends: an error is one sentence on stderr and an exit code of its own, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from promptmill.errors import PromptmillError

P = ParamSpec("P")
INTERRUPTED = 130


def ending_on_error(command: Callable[P, None]) -> Callable[P, None]:
    """The command with its errors turned into exit codes; Ctrl-C is 130, as shells have it."""

    @functools.wraps(command)
    def ended(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PromptmillError as error:
            sys.stderr.write(f"{error}\n")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    return ended
