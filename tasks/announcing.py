"""What the page of a central scheduler shows of a task while it runs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import luigi

logger = logging.getLogger(__name__)


class Announcer:
    """Hands the latest word to the scheduler, from a thread of its own.

    Luigi asks a scheduler that does not answer again and again, for a minute and a half
    (luigi/rpc.py): generating does not wait for that. With `--local-scheduler` there is no page.
    """

    def __init__(self, task: luigi.Task) -> None:
        self._task: Any = task
        self._latest = (0, "")
        self._wake = threading.Event()
        self._over = bool(luigi.interface.core().local_scheduler)
        self._thread = threading.Thread(target=self._hand_over, name="announcer", daemon=True)

    def __enter__(self) -> Announcer:
        if not self._over:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._wake.set()

    def __call__(self, share: float, text: str) -> None:
        """Show this from now on: how much is done, from 0 to 1, and a sentence."""
        self._latest = (round(100 * share), text)
        self._wake.set()

    def _hand_over(self) -> None:
        while self._wake.wait() and not self._over:
            self._wake.clear()
            percent, text = self._latest
            try:
                self._task.set_progress_percentage(percent)
                self._task.set_status_message(text)
            except Exception as error:  # whatever it is, it only concerns the page
                logger.debug("The scheduler was not told how far this is: %s", error)


def link_to(task: Any, page: Path) -> None:
    """Have the scheduler's page link to a file, where there is such a page and such a file."""
    if luigi.interface.core().local_scheduler or not page.is_file():
        return
    try:
        task.set_tracking_url(page.absolute().as_uri())
    except Exception as error:
        logger.debug("The scheduler was not told of %s: %s", page, error)
