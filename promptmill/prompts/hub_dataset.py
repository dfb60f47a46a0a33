"""Reader of datasets on the Hub, streamed at one commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from promptmill.errors import ConfigurationError, InvalidRows, NotFound
from promptmill.hub.errors import hub_errors
from promptmill.hub.patience import CHECKING
from promptmill.hub.session import patient
from promptmill.prompts.batches import BATCH_ROWS, Batch, of_table
from promptmill.prompts.problems import BadRowError, listed
from promptmill.prompts.source import HubSource


def dataset_commit(source: HubSource) -> str:
    """The commit that the dataset is at now; everything is then read at this one.

    Raises:
        NotFound: there is neither a file nor a dataset of that name.
        AccessDenied, HubUnavailable: as the Hub answers.
    """
    from huggingface_hub import HfApi

    try:
        with patient(CHECKING), hub_errors(source.repo, "dataset"):
            commit = HfApi().dataset_info(source.repo, revision=source.revision).sha
    except NotFound as error:
        raise NotFound(f"There is no file {source.typed}, and no dataset of that name on the Hub. {error}") from error
    if commit is None:
        raise NotFound(f"The Hub names no commit of the dataset {source.repo}; it may be empty.")
    return commit


def read_hub(source: HubSource, commit: str, most: int) -> Iterator[Batch]:
    """The rows of the split with the types they have; numbers count rows from 1."""
    row = 1
    with hub_errors(source.repo, "dataset"), _dataset_errors(source):
        for table in _stream(source, commit).with_format("arrow").iter(batch_size=BATCH_ROWS):
            yield of_table(source.typed, table.slice(0, most + 1 - row), row)
            row += table.num_rows
            if row > most:
                return


def _stream(source: HubSource, commit: str) -> Any:
    import datasets

    configs = datasets.get_dataset_config_names(source.repo, revision=commit)
    config, wanted = _chosen_config(source, commit, configs)
    splits = datasets.get_dataset_split_names(source.repo, config, revision=commit)
    split = _chosen_split(source, config if len(configs) > 1 else None, wanted, splits)
    return datasets.load_dataset(source.repo, config, split=split, revision=commit, streaming=True)


def _chosen_config(source: HubSource, commit: str, configs: list[str]) -> tuple[str, str | None]:
    """The config to read, and the split that was asked for."""
    import datasets

    if source.config is None:
        if source.split in configs and len(configs) > 1:
            return source.split, None  # what stands alone behind the colon may be either
        default = datasets.get_dataset_default_config_name(source.repo, revision=commit)
        if default is not None:
            return default, source.split
    elif source.config in configs:
        return source.config, source.split
    lacks = "needs the name of a config" if source.config is None else f"has no config {source.config}"
    raise ConfigurationError(
        f"The dataset {source.repo} {lacks}; its configs are {listed(configs)}. "
        f"Name one: --prompts {_named(source, configs[0] if configs else 'default', source.split)}"
    )


def _named(source: HubSource, config: str | None, split: str | None) -> str:
    revision = f"@{source.revision}" if source.revision else ""
    return ":".join([f"{source.repo}{revision}", *(name for name in (config, split) if name)])


@contextmanager
def _dataset_errors(source: HubSource) -> Iterator[None]:
    from datasets.exceptions import DatasetsError

    try:
        yield
    except BadRowError as error:
        raise InvalidRows(
            f"The dataset {source.repo} cannot be read: the column {error.column} {error.what}."
        ) from error
    except (DatasetsError, pa.ArrowException, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise InvalidRows(
            f"The dataset {source.repo} cannot be read: {reason}. Download the file you want, "
            f"`hf download {source.repo} --repo-type dataset --local-dir prompts`, and give --prompts its path."
        ) from error


def _chosen_split(source: HubSource, config: str | None, given: str | None, splits: list[str]) -> str:
    wanted = given or (splits[0] if len(splits) == 1 else "train")
    if wanted in splits:
        return wanted
    whose = f"config {config} of the dataset {source.repo}" if config else f"dataset {source.repo}"
    raise ConfigurationError(
        f"The {whose} has no split {wanted}; its splits are {listed(splits)}. "
        f"Name one: --prompts {_named(source, config, splits[0] if splits else 'train')}"
    )
