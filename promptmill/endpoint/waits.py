"""How long the engine waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Waits:
    """Seconds.

    Attributes:
        first_try: before a row that failed is asked for again; twice as long each further time.
        longest_try: never longer.
        first_rest: that a server is left alone which fails; twice as long each further time.
        longest_rest: never longer.
        look: between two looks for servers that moved, while none answers.
        word: of trouble, before the log says so.
        meeting: between two tries to meet the server.
        again: until a server that works is asked anew which model it has.
        tick: at most between two looks at what may be sent, and two questions whether to stop.
    """

    first_try: float = 0.5
    longest_try: float = 15.0
    first_rest: float = 0.5
    longest_rest: float = 15.0
    look: float = 5.0
    word: float = 10.0
    meeting: float = 1.0
    again: float = 300.0
    tick: float = 0.1


USUAL = Waits()
