"""How long no server has given a good answer, and when that is too long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from promptmill.endpoint.faults import Fault, ServerGone
from promptmill.endpoint.waits import USUAL, Waits
from promptmill.progress import duration

logger = logging.getLogger(__name__)


class Trouble:
    """The time since the first fault after the last good answer.

    Args:
        patience: seconds that it may last.
    """

    def __init__(self, patience: float, waits: Waits = USUAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._waits = waits
        self._clock = clock
        self._since: float | None = None
        self._last = ""
        self._told = False
        self._look_at = waits.look

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 while all is well."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def left(self) -> float:
        """How much longer it may last."""
        return self._patience - self.seconds

    def require_patience_for(self, seconds: float) -> None:
        """Give up now if the servers ask to be left alone for longer than there is patience.

        Raises:
            ServerGone: they do.
        """
        if seconds > self.left:
            raise ServerGone(
                f"The server asks to be left alone for {duration(seconds)} (Retry-After), and of --endpoint-patience "
                f"{duration(max(self.left, 0.0))} is left. The last word was: {self._last}. The finished rows are "
                "committed; start the same command again then."
            )

    def note(self, fault: Fault) -> None:
        """Something went wrong."""
        self._since = self._clock() if self._since is None else self._since
        self._last = str(fault)

    def over(self) -> None:
        """A good answer came."""
        if self._told:
            logger.info("The server answers again.")
        self._since, self._told, self._look_at = None, False, self._waits.look

    def time_to_look(self) -> bool:
        """Whether to look if the servers are elsewhere: every few seconds while no good answer comes."""
        if self.seconds < self._look_at:
            return False
        self._look_at = self.seconds + self._waits.look
        return True

    def require_patience(self, under_way: Iterable[float]) -> None:
        """Say once what is wrong, and give up when it has lasted too long.

        Args:
            under_way: when the requests were sent that have no answer yet. One from before the trouble may still
                bring a good one, as a long completion does.

        Raises:
            ServerGone: it has lasted too long.
        """
        if self._since is None:
            return
        since = self._since
        if self.seconds > self._patience and all(sent >= since for sent in under_way):
            raise ServerGone(
                f"No server has given a good answer for {duration(self.seconds)}, which is more than "
                f"--endpoint-patience allows. The last word was: {self._last}. The finished rows are committed; "
                "start the same command again when the server is back."
            )
        if self.seconds > self._waits.word and not self._told:
            self._told = True
            logger.warning(
                "No good answer for %s: %s. Trying on for up to %s.",
                duration(self.seconds), self._last, duration(self._patience),
            )  # fmt: skip
