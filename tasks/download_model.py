"""Have the model's files on disk, pinned to a commit."""

from __future__ import annotations

import luigi

from promptmill.model import pin_model, recorded_model
from tasks.check_auth import CheckAuth
from tasks.stage import Stage, target


class DownloadModel(Stage):
    """Resolves the revision to a commit once a run, and downloads what is missing into the Hugging Face cache."""

    def requires(self) -> CheckAuth:
        """A yes from the Hub."""
        return self.clone(CheckAuth)

    def output(self) -> luigi.LocalTarget:
        """Which commit, where, and how large each file is."""
        return target(self.folder.model)

    def complete(self) -> bool:
        """Whether the pinned files are all there in their full length."""
        pinned = recorded_model(self.folder.model)
        return pinned is not None and pinned.is_on_disk()

    def run(self) -> None:
        """Resolve, download, write down."""
        settings = self.folder.settings
        pin_model(settings.model, settings.revision, self.folder.data, self.folder.model)
