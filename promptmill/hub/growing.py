"""Publishing the shards that are complete while the others are still being generated."""

from __future__ import annotations

import logging
from pathlib import Path

from promptmill.assemble import lay_out
from promptmill.card import CardOptions
from promptmill.errors import HubUnavailable
from promptmill.files import read_json, write_json
from promptmill.hub.patience import Patience
from promptmill.hub.publication import publication
from promptmill.hub.publish import Target, publish
from promptmill.hub.shared_card import OURS
from promptmill.plan import recorded_manifest
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)


def publish_growing(run: RunFolder, shards: int, target: Target, options: CardOptions, patience: Patience) -> None:
    """Publish the first `shards` shards with a card that says that there is more to come.

    A Hub that does not answer stops nothing: what is missing comes with the next publication.

    Raises:
        AccessDenied, NotFound, ConfigurationError: as `publish`.
    """
    # One that was damaged meanwhile is left out: it is made again before the dataset is complete.
    laid_out = lay_out(run, recorded_manifest(run), range(shards))
    commit = None
    try:
        wanted = publication(run, laid_out.files, laid_out.counts, options)
        published = publish(
            wanted, target, message=f"{OURS}{run.path.name}, {len(laid_out.files)} files", patience=patience
        )
        commit = published.commit
        logger.info("Published %d shards so far at %s.", shards, published.url)
    except HubUnavailable as error:
        logger.warning("%s The run goes on; the shards are published later.", error)
    write_json(_record(run), {"repo": target.repo, "shards": shards, "commit": commit})


def is_published_so_far(run: RunFolder, shards: int, repo: str) -> bool:
    """Whether at least the first `shards` shards were published, or tried to be."""
    value = read_json(_record(run))
    return value is not None and value["repo"] == repo and bool(value["shards"] >= shards)


def _record(run: RunFolder) -> Path:
    return run.path / "published-so-far.json"
