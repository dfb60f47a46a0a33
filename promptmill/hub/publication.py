"""A run's dataset as it is published: the data, and a card with what the user says about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from promptmill.assemble import DatasetFile, recorded_dataset
from promptmill.card import CardOptions, card_text, interim_card
from promptmill.errors import NotFound, PromptmillError
from promptmill.files import read_json, write_json
from promptmill.hub.commits import CARD, LocalFile, Publication
from promptmill.hub.errors import page
from promptmill.hub.marker import marker_content, origin_of
from promptmill.hub.patience import Patience
from promptmill.hub.publish import Target, publish
from promptmill.hub.shared_card import OURS
from promptmill.outcome import require_rows
from promptmill.plan import recorded_manifest
from promptmill.run import RunFolder, recorded_identity
from promptmill.shard import ShardCounts


def publish_run(run: RunFolder, target: Target, options: CardOptions, patience: Patience) -> None:
    """Publish the complete dataset of a run and write down where, once it was read back.

    Raises:
        NotFound: the dataset is not complete.
        EngineError: every row of it ended in error.
        As `publish`; the message then says how to go on.
    """
    dataset = recorded_dataset(run)
    if dataset is None:
        raise NotFound(f"The dataset of {run.path} is not complete yet; start BuildDataset with the same options.")
    require_rows(run)
    with _saying_how_to_go_on(run, target):
        wanted = publication(run, dataset.files, dataset.counts, options)
        published = publish(wanted, target, message=_message(run, target), patience=patience)
    said = {"license": options.license, "pretty_name": options.pretty_name, "tags": list(options.tags)}
    write_json(run.published, {**asdict(published), "fingerprint": target.fingerprint, "card": said})


def is_published(run: RunFolder, repo: str, options: CardOptions) -> bool:
    """Whether it is written down that this very dataset was published to this repository of this Hub with this card."""
    value: dict[str, Any] | None = read_json(run.published)
    if value is None or not run.identity.exists():
        return False
    said = {"license": options.license, "pretty_name": options.pretty_name, "tags": list(options.tags)}
    right = (repo, page(repo, "dataset"), recorded_identity(run).fingerprint, said)
    return (value.get("repo"), value.get("url"), value.get("fingerprint"), value.get("card")) == right


def data_files(run: RunFolder, files: dict[str, DatasetFile]) -> dict[str, LocalFile]:
    """What of a dataset's files is published as it is: all but the card."""
    return {
        name: LocalFile(run.dataset / name, file.bytes, file.sha256)
        for name, file in sorted(files.items())
        if name != CARD
    }


def publication(
    run: RunFolder, files: dict[str, DatasetFile], counts: ShardCounts, options: CardOptions
) -> Publication:
    """What the repository is to hold for these files of the run's dataset folder."""
    return Publication(
        files=data_files(run, files),
        marker=marker_content(recorded_identity(run).fingerprint, origin_of(run)),
        card=card_text(run, recorded_manifest(run), counts, options).encode(),
        interim_card=interim_card(run.path.name, options).encode(),
    )


def publish_command(run: RunFolder, target: Target) -> str:
    """What publishes a finished dataset where there is internet."""
    given = ["--run-dir", str(run.path), "--publish-to", target.repo]
    flags = [f"--{name}" for name in ("private", "overwrite") if getattr(target, name)]
    return shlex.join(["luigi", "--module", "workflows", "PublishDataset", *given, *flags, "--local-scheduler"])


def _message(run: RunFolder, target: Target) -> str:
    return f"{OURS}{run.path.name} ({target.fingerprint[:12]})"


@contextmanager
def _saying_how_to_go_on(run: RunFolder, target: Target) -> Iterator[None]:
    try:
        yield
    except PromptmillError as error:
        raise type(error)(
            f"{error}\nThe dataset is complete in {run.dataset}. To publish it (what has arrived is not sent again), "
            f"start the same command again, or where there is internet:\n    {publish_command(run, target)}"
        ) from error
