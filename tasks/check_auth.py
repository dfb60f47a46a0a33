"""Is the Hub's answer yes to all that this run will ask of it?"""

from __future__ import annotations

import time
from dataclasses import asdict

import luigi

from promptmill.files import read_json, write_json
from promptmill.hub.auth import Access, check_access
from promptmill.model import kind_of
from tasks.parameters import Setting
from tasks.stage import Stage, target

MAX_AGE_SECONDS = 12 * 3600


class CheckAuth(Stage):
    """Asks who the token belongs to, whether the model may be read and the dataset repo written."""

    publish_to = Setting(default=None, description="Dataset repo that will be written; default: none.")
    priority = 100  # Nothing is downloaded or prepared before the answer is yes.

    def output(self) -> luigi.LocalTarget:
        """The answers; nothing secret is kept."""
        return target(self.folder.auth)

    def complete(self) -> bool:
        """Whether the same questions were answered less than twelve hours ago."""
        value = read_json(self.folder.auth)
        return value is not None and self._covers(Access(**value))

    def run(self) -> None:
        """Ask."""
        access = check_access(self._hub_model, self.publish_to, now=time.time())
        write_json(self.folder.auth, asdict(access))

    @property
    def _hub_model(self) -> str | None:
        model = self.folder.settings.model
        return model if kind_of(model) == "hub" else None

    def _covers(self, access: Access) -> bool:
        fresh = 0 <= time.time() - access.checked_at < MAX_AGE_SECONDS
        return fresh and access.model == self._hub_model and self.publish_to in (None, access.publish_to)
