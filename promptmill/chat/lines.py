"""Where prompts come from: a terminal, with line editing, or a pipe, a prompt a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from promptmill.chat.interrupts import Interrupts
from promptmill.chat.screen import Screen
from promptmill.errors import InvalidRows

MARK = "> "


def is_interactive() -> bool:
    """Whether a person sits at a terminal and sees the completions there."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed_lines(screen: Screen, interrupts: Interrupts, words: Sequence[str]) -> Iterator[str]:
    """What is typed, until Ctrl-D; Ctrl-C drops the line.

    The standard library's readline gives editing, the prompts of this chat on the arrow keys, and pasting of
    several lines as one prompt. Without it the terminal's own editing is left.

    Args:
        words: the orders that Tab completes.
    """
    _prepare_readline(words)
    while True:
        try:
            with interrupts.raised():
                line = input(MARK)
        except EOFError:
            screen.end_completion()
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            screen.remark("Ctrl-D leaves.")
            continue
        if line.strip():
            yield line


def piped_lines(stream: BinaryIO, interrupts: Interrupts) -> Iterator[str]:
    """The lines that are not blank.

    Raises:
        InvalidRows: a line is not UTF-8.
        KeyboardInterrupt: Ctrl-C was pressed while the last one was answered.
    """
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InvalidRows(
                f"Line {number} of the input is not UTF-8 at byte {error.start + 1}; save it as UTF-8, "
                "then start the same command again."
            ) from error
        if line.strip():
            yield line
            if interrupts.pressed:
                raise KeyboardInterrupt


def _prepare_readline(words: Sequence[str]) -> None:
    try:
        import readline
    except ImportError:  # some builds of Python have none
        return
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    if not libedit:
        readline.parse_and_bind("set enable-bracketed-paste on")  # Python switches it off
    readline.set_completer_delims(" ")

    def complete(text: str, state: int) -> str | None:
        fitting = [word for word in words if text and word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(complete)
