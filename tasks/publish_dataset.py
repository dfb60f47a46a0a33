"""Push the finished dataset to the Hub."""

from __future__ import annotations

from dataclasses import asdict

import luigi

from promptmill.errors import ConfigurationError
from promptmill.files import read_json, write_json
from promptmill.hub.publish import publish_dataset
from promptmill.run import recorded_identity
from tasks.assemble_dataset import AssembleDataset
from tasks.check_auth import CheckAuth
from tasks.parameters import Setting, batch_size, number, switch
from tasks.stage import Stage, target


class PublishDataset(Stage):
    """Makes a dataset repo hold exactly the files of the finished dataset."""

    publish_to = Setting(description="Dataset repo to write, as OWNER/NAME.")
    private = switch(significant=False, description="Make the repo private if it has to be created.")
    batch_size = batch_size(default=None, significant=False, description="Rows in one forward pass; default: auto.")
    checkpoint_seconds = number(default=60.0, significant=False, description="Commit finished rows this often.")

    def requires(self) -> list[luigi.Task]:
        """Leave to write, and something to publish."""
        return [self.clone(CheckAuth), self.clone(AssembleDataset)]

    def output(self) -> luigi.LocalTarget:
        """Where it was published, and as which commit."""
        return target(self.folder.published)

    def complete(self) -> bool:
        """Whether this very dataset was published to this very repo."""
        value = read_json(self.folder.published)
        if value is None or not self.folder.identity.exists():
            return False
        return (value["repo"], value["fingerprint"]) == (self.publish_to, recorded_identity(self.folder).fingerprint)

    def run(self) -> None:
        """Push and write down the commit."""
        if not self.publish_to:
            raise ConfigurationError("--publish-to is empty; give the dataset repo as OWNER/NAME.")
        fingerprint = recorded_identity(self.folder).fingerprint
        message = f"promptmill: {self.folder.path.name} ({fingerprint[:12]})"
        published = publish_dataset(self.folder.dataset, self.publish_to, private=self.private, message=message)
        write_json(self.folder.published, {**asdict(published), "fingerprint": fingerprint})
