"""Is the Hub's answer yes to all that this run will ask of it?"""

from __future__ import annotations

import time
from dataclasses import asdict

import luigi

from promptmill.files import read_json, write_json
from promptmill.hub.admission import Questions, admit
from promptmill.hub.auth import Access
from tasks.parameters import Setting, duration, switch
from tasks.stage import Stage, target

MAX_AGE_SECONDS = 12 * 3600.0


class CheckAuth(Stage):
    """Asks who the token belongs to, whether the model may be read and the dataset repo written."""

    publish_to = Setting(default=None, description="Dataset repo that will be written; default: none.")
    private = switch(significant=False, description="Refuse a dataset repo that is public.")
    overwrite = switch(significant=False, description="Replace a dataset that is not of this run.")
    auth_max_age = duration(
        default=MAX_AGE_SECONDS, significant=False, description="How long a yes is believed. Default: 12h."
    )
    priority = 100  # Nothing is downloaded or prepared before the answer is yes.
    _had_yes = False

    def output(self) -> luigi.LocalTarget:
        """The answers; nothing secret is kept."""
        return target(self.folder.auth)

    def complete(self) -> bool:
        """Whether there is nothing to ask, or the same was answered lately; or in this process, however long ago."""
        # Luigi asks again before it publishes what took days, and takes a no for a failure.
        self._had_yes = self._had_yes or self._is_answered()
        return self._had_yes

    def _is_answered(self) -> bool:
        questions = self._questions()
        value = read_json(self.folder.auth)
        access = Access.from_json(value) if value is not None else None
        return questions.none or (
            access is not None and questions.answered_by(access, max_age=self.auth_max_age, now=time.time())
        )

    def run(self) -> None:
        """Ask."""
        access = admit(self.folder, self._questions(), now=time.time())
        write_json(self.folder.auth, asdict(access))

    def _questions(self) -> Questions:
        return Questions.of(self.folder, self.publish_to, private=self.private, overwrite=self.overwrite)
