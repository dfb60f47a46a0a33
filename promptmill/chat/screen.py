"""Where completions and remarks go: completions alone to standard output, all else to standard error."""

from __future__ import annotations

import re
import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

from promptmill.commands.console import PIPE_COLUMNS

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Screen:
    """On a terminal both streams are the same screen; in a pipe they part.

    Args:
        output: for completions.
        remarks: for everything else.
    """

    def __init__(self, output: TextIO | None = None, remarks: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        remarks = remarks or sys.stderr
        self._console = Console(
            file=remarks, width=None if remarks.isatty() else PIPE_COLUMNS, highlight=False, markup=False
        )
        self._style = "" if self._console.no_color else "dim"
        self._shown = self._output.isatty()
        self._at_start = True

    def write(self, piece: str) -> None:
        """A piece of a completion, at once. A terminal is not given control characters of a model's making."""
        self._output.write(_visible(piece) if self._shown else piece)
        self._output.flush()
        self._at_start = piece.endswith("\n")

    def end_completion(self) -> None:
        """End the line that the completion is on."""
        if not self._at_start:
            self.write("\n")
        self._at_start = True

    def remark(self, text: str) -> None:
        """A word of the program itself."""
        self._output.flush()
        self._console.print(Text(text, style=self._style))


def _visible(text: str) -> str:
    """Control characters as the signs that Unicode has for them, so that none moves the cursor or the like."""
    return _CONTROL.sub(lambda match: _sign(ord(match[0])), text)


def _sign(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
