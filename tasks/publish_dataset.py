"""Push the finished dataset to the Hub, or the shards that are complete so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import luigi

from promptmill.card import CardOptions
from promptmill.card.licenses import check_license
from promptmill.errors import ConfigurationError
from promptmill.hub.admission import require_still_fitting
from promptmill.hub.growing import is_published_so_far, publish_growing
from promptmill.hub.looking import Look, look
from promptmill.hub.patience import PUBLISHING, Patience
from promptmill.hub.publication import is_published, publish_run
from promptmill.hub.publish import Target
from promptmill.plan import recorded_manifest
from promptmill.production import all_shards_are_complete
from promptmill.run import RunFolder, recorded_identity
from tasks.assemble_dataset import AssembleDataset
from tasks.check_auth import MAX_AGE_SECONDS, CheckAuth
from tasks.generate_shard import GenerateShard
from tasks.hardware_parameters import HardwareParameters
from tasks.parameters import Setting, duration, integer, names, switch
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class PublishParameters:
    """What a user says about publishing; none of it changes the rows."""

    private = switch(significant=False, description="Make the dataset repo private if it has to be created.")
    overwrite = switch(significant=False, description="Replace a dataset that is not of this run.")
    license = Setting(
        default=None, significant=False, description="Licence of the dataset, as cc-by-4.0. Default: none stated."
    )
    pretty_name = Setting(default=None, significant=False, description="Title of the card. Default: the run's name.")
    tags = names(default=(), significant=False, description="Tags of the card, as a,b. Default: none.")
    publish_timeout = duration(
        default=PUBLISHING.total_seconds,
        significant=False,
        description="Give up publishing after so long without a success. Default: 1h.",
    )
    publish_every = integer(
        default=None,
        significant=False,
        description="Publish each time so many shards are complete. Default: at the end.",
    )
    auth_max_age = duration(
        default=MAX_AGE_SECONDS, significant=False, description="How long a yes of the Hub is believed. Default: 12h."
    )
    publish_to: str | None

    def check_publishing(self) -> None:
        """Refuse what the Hub would refuse in the end, before anything is generated.

        Raises:
            ConfigurationError: says which option it is.
        """
        check_license(self.license)

    def require_still_fitting(self, run: RunFolder) -> None:
        """Ask, now that more is known of the run, whether the dataset repo is this run's if it is there already.

        Raises:
            ConfigurationError: it is another run's.
        """
        if self.publish_to:
            require_still_fitting(run, self.publish_to, private=self.private, overwrite=self.overwrite)


class Publishing(PublishParameters, HardwareParameters, Stage):
    """What the two ways of publishing have in common."""

    publish_to = Setting(description="Dataset repo to write, as OWNER/NAME.")

    @property
    def where(self) -> Target:
        """The repository, and whose it has to be."""
        if not self.publish_to:
            raise ConfigurationError("--publish-to is empty; give the dataset repo as OWNER/NAME.")
        fingerprint = recorded_identity(self.folder).fingerprint
        return Target(self.publish_to, fingerprint, private=self.private, overwrite=self.overwrite)

    @property
    def card(self) -> CardOptions:
        """What the card says besides what the run is."""
        return CardOptions(self.publish_to, self.license, self.pretty_name, self.tags)

    @property
    def patience(self) -> Patience:
        """How long the Hub may fail."""
        return Patience(total_seconds=self.publish_timeout)


class PublishDataset(Publishing):
    """Makes a dataset repo hold exactly the files of the finished dataset."""

    def requires(self) -> list[luigi.Task]:
        """Leave to write; and something to publish, which comes bit by bit with --publish-every."""
        return [self.clone(CheckAuth), self.clone(PreparePrompts if self.publish_every else AssembleDataset)]

    def output(self) -> luigi.LocalTarget:
        """Where it was published, and as which commit."""
        return target(self.folder.published)

    def complete(self) -> bool:
        """Whether this very dataset is in this very repo with this card, as far as the Hub can be asked."""
        return self.look().published

    def look(self) -> Look:
        """What is on the Hub."""
        if not self.folder.identity.exists():
            return Look(False)
        return look(self.folder, self.where, self.card)

    def run(self) -> Iterator[Any]:
        """Push, read back, and write down the commit."""
        if self.publish_every:
            yield self._growing()
            yield self.clone(AssembleDataset)
        publish_run(self.folder, self.where, self.card, self.patience)

    def _growing(self) -> list[luigi.Task]:
        """Publications on the way to the whole; none where all shards are complete already."""
        if all_shards_are_complete(self.folder):
            return []
        shards = len(recorded_manifest(self.folder).shards)
        return [self.clone(PublishSoFar, shards=done) for done in range(self.publish_every, shards, self.publish_every)]


class PublishSoFar(Publishing):
    """Makes a dataset repo hold the first shards of a run that goes on."""

    shards = integer(description="How many of the shards.")
    priority = 10  # Before the shards that nobody waits for.

    def requires(self) -> list[luigi.Task]:
        """The shards; leave to write was asked for before."""
        return [self.clone(GenerateShard, shard=shard) for shard in range(self.shards)]

    def complete(self) -> bool:
        """Whether they were published, or all of the dataset was."""
        if is_published(self.folder, self.publish_to, self.card):
            return True
        return is_published_so_far(self.folder, self.shards, self.publish_to)

    def run(self) -> None:
        """Lay out and push."""
        publish_growing(self.folder, self.shards, self.where, self.card, self.patience)
