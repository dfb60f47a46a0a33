"""A run: its folder, the settings it was begun with, and the identity that fixes its bytes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from promptmill import __version__
from promptmill.errors import ConfigurationError, NotFound, StorageError
from promptmill.files import create_json, read_json
from promptmill.libraries import Versions, library_versions
from promptmill.rendering import EARLIEST, Rendering
from promptmill.settings import RunSettings, canonical_hash, differences

FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Where everything of one run lies: `<data>/runs/<name>`."""

    path: Path

    @classmethod
    def named(cls, data: Path, name: str) -> RunFolder:
        """The folder of the run `name` below the data folder `data`."""
        return cls(data / "runs" / name)

    @classmethod
    def all_in(cls, data: Path) -> list[RunFolder]:
        """The runs below the data folder that were begun, by name."""
        return [cls(record.parent) for record in sorted((data / "runs").glob("*/run.json"))]

    @property
    def data(self) -> Path:
        """The data folder that this run lies in."""
        return self.path.parent.parent

    @property
    def record(self) -> Path:
        """The settings that the run was begun with."""
        return self.path / "run.json"

    @property
    def identity(self) -> Path:
        """What the settings stood for: commit, dtype, prompts; and their fingerprint."""
        return self.path / "identity.json"

    @property
    def auth(self) -> Path:
        """The last check of access to the Hub."""
        return self.path / "auth.json"

    @property
    def model(self) -> Path:
        """Which commit of the model this run uses."""
        return self.path / "model.json"

    @property
    def server(self) -> Path:
        """What the server of a model that is not loaded here was found to be."""
        return self.path / "server.json"

    @property
    def price(self) -> Path:
        """What a million tokens cost."""
        return self.path / "price.json"

    @property
    def prompts(self) -> Path:
        """The manifest of the prepared prompts."""
        return self.path / "prompts.json"

    @property
    def prompts_table(self) -> Path:
        """The prepared prompts."""
        return self.path / "prompts" / "prompts.parquet"

    @property
    def first_prompt(self) -> Path:
        """The first prompt as the model gets it."""
        return self.path / "first-prompt.json"

    def placement(self, hardware: str) -> Path:
        """How the model lies on one kind of hardware."""
        return self.path / f"placement-{hardware}.json"

    @property
    def shards(self) -> Path:
        """The folder of the shards' chunks and manifests."""
        return self.path / "shards"

    @property
    def progress(self) -> Path:
        """One small file a process that generates."""
        return self.path / "progress"

    @property
    def dataset(self) -> Path:
        """The dataset as it is published."""
        return self.path / "dataset"

    @property
    def kept(self) -> Path:
        """What somebody put into the dataset's folder where a file of ours has to be."""
        return self.path / "set-aside"

    @property
    def report(self) -> Path:
        """What people look at: a page about dataset and run."""
        return self.path / "report.html"

    @property
    def dataset_manifest(self) -> Path:
        """The proof that the dataset is complete."""
        return self.path / "dataset.json"

    @property
    def published(self) -> Path:
        """Where the dataset was published, and as which commit."""
        return self.path / "published.json"

    @cached_property
    def settings(self) -> RunSettings:
        """The settings that the run was begun with.

        Raises:
            NotFound: there is no such run.
            StorageError: its record is damaged.
        """
        return recorded_settings(self)


@dataclass(frozen=True)
class Identity:
    """All that fixes the bytes of a dataset once every choice is made.

    Attributes:
        revision: the model's commit, or a digest of the folder for a local model; None if a server has it.
        prompts: digest of the prepared prompts.
        chat_template: digest of the model's chat template, None if it has none or a server has it.
        dtype: of the computation, never `auto`; None if that is the server's business.
        quantization: likewise.
        fingerprint: SHA-256 of the settings and all of the above and below.
        served: for a model that a server has: the `api` that it is asked through, and what the server says `about` it.
        rendering: which rules turn prompts into tokens, and tokens into text.
        base: where the model is an adapter, the commit of the model that it changes, or the digest of its folder.
    """

    revision: str | None
    prompts: str
    chat_template: str | None
    dtype: str | None
    quantization: str | None
    fingerprint: str
    served: dict[str, Any] | None = None
    rendering: Rendering = EARLIEST
    base: str | None = None

    @property
    def chat(self) -> bool:
        """Whether prompts go to the model as a chat."""
        return self.chat_template is not None or (self.served is not None and self.served["api"] == "chat")

    @classmethod
    def of(
        cls,
        settings: RunSettings,
        *,
        revision: str | None,
        prompts: str,
        chat_template: str | None,
        dtype: str | None,
        quantization: str | None,
        served: dict[str, Any] | None = None,
        rendering: Rendering = EARLIEST,
        base: str | None = None,
    ) -> Identity:
        """The identity of a run with these settings and resolved choices."""
        resolved: dict[str, Any] = {
            "revision": revision,
            "prompts": prompts,
            "chat_template": chat_template,
            "dtype": dtype,
            "quantization": quantization,
        }
        if served is not None:
            resolved["served"] = served
        if rendering != EARLIEST:
            resolved["rendering"] = rendering.to_json()
        if base is not None:
            resolved["base"] = base
        fingerprint = canonical_hash({"format": FORMAT, "settings": settings.to_json(), "resolved": resolved})
        return cls(revision, prompts, chat_template, dtype, quantization, fingerprint, served, rendering, base)


def open_run(run: RunFolder, settings: RunSettings, prompts_source: str, columns: str | None = None) -> None:
    """Begin a run, or go on in one that was begun with the same settings.

    Args:
        columns: how its rows will be laid out; see `promptmill.columns`.

    Raises:
        ConfigurationError: it was begun with others; the message lists them, old and new.
        StorageError: the folder cannot be written.
    """
    record = {
        "format": FORMAT,
        "settings": settings.to_json(),
        "prompts_source": prompts_source,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "promptmill": __version__,
        "libraries": library_versions(),
        **({"columns": columns} if columns is not None else {}),
    }
    if not create_json(run.record, record):
        require_same_settings(run, settings)


def is_open(run: RunFolder) -> bool:
    """Whether the run was begun."""
    return run.record.exists()


def require_same_settings(run: RunFolder, settings: RunSettings, prompts: str | None = None) -> None:
    """Refuse to go on in a run that was begun with other settings.

    Args:
        prompts: how the prompts differ, if that is known in words.

    Raises:
        ConfigurationError: lists which settings differ, old and new.
    """
    changed = differences(recorded_settings(run), settings, prompts)
    if changed:
        lines = "\n".join(f"    {line}" for line in changed)
        raise ConfigurationError(
            f"The run {run.path} was begun with other settings (old → new):\n{lines}\n"
            "Give the old values to go on with it, or another --name (or none) to make a run of its own."
        )


def recorded_settings(run: RunFolder) -> RunSettings:
    """The settings in `run.json`."""
    return RunSettings.from_json(_record(run)["settings"])


def recorded_prompts_source(run: RunFolder) -> str:
    """Where the prompts of the run came from, as it was typed."""
    return str(_record(run)["prompts_source"])


def recorded_begin(run: RunFolder) -> str:
    """When the run was begun, in UTC, as `2026-12-01T09:30:00Z`."""
    return str(_record(run)["begun"])


def recorded_libraries(run: RunFolder) -> Versions:
    """The versions of the libraries that the run was begun with."""
    return dict(_record(run)["libraries"])


def fix_identity(run: RunFolder, identity: Identity) -> Identity:
    """Write the identity down if this process is the first to; returns the one that holds."""
    value = {**asdict(identity), "rendering": identity.rendering.to_json()}
    if identity.rendering == EARLIEST:
        del value["rendering"]
    if identity.base is None:
        del value["base"]
    create_json(run.identity, value)
    return recorded_identity(run)


def recorded_identity(run: RunFolder) -> Identity:
    """The identity in `identity.json`.

    Raises:
        StorageError: it is missing or damaged.
    """
    value = read_json(run.identity)
    if value is None:
        raise StorageError(
            f"{run.identity} is missing or damaged. Move it away and start the same command again: it is made anew."
        )
    return Identity(**{**value, "rendering": Rendering.from_json(value.get("rendering"))})


def _record(run: RunFolder) -> dict[str, Any]:
    value: dict[str, Any] | None = read_json(run.record)
    if value is not None:
        return value
    if run.record.exists():
        raise StorageError(f"{run.record} is damaged. Restore it, or start again with another --name.")
    raise NotFound(
        f"There is no run at {run.path}. Begin one with `luigi --module workflows BuildDataset --local-scheduler`."
    )
