"""Ctrl-C at a terminal: it stops a completion, or drops the line that is being typed; never the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether Ctrl-C was pressed since it was last looked for."""

    def __init__(self) -> None:
        self.pressed = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Inside the block Ctrl-C only sets `pressed`: a forward pass is not left halfway."""
        before = signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Inside the block Ctrl-C raises KeyboardInterrupt, as line editing wants it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Inside the block Ctrl-C raises KeyboardInterrupt and sets `pressed`.

        Python drops an exception that is raised while an object is being deleted or in a library's callback; `pressed`
        stays.
        """
        before = signal.signal(signal.SIGINT, self._press_and_raise)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _press_and_raise(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
        raise KeyboardInterrupt

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
