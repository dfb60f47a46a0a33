"""Whether a command goes on with a run: same settings, prompts that give the same rows, a model of the same content.

A run is known by the digest of its prompts' files and by the path of a local model. Once the prompts are prepared it
needs the files no more, and other files that give the same rows are the same prompts; a model's folder may be copied,
or lie under another path.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from promptmill.errors import ConfigurationError, NotFound, StorageError
from promptmill.files import read_json, storage_errors, write_json
from promptmill.local_model import all_files, digests_of, files_that_are_read, joined
from promptmill.model import kind_of, recorded_model
from promptmill.plan import prompt_options, recorded_manifest
from promptmill.prompts import PreparedPrompts, prepare_prompts
from promptmill.prompts.beginning import digest_of_first
from promptmill.run import RunFolder, recorded_prompts_source, recorded_settings, require_same_settings
from promptmill.settings import RunSettings, run_name

logger = logging.getLogger(__name__)
_UNREADABLE = (NotFound, StorageError, ConfigurationError, KeyError, TypeError, ValueError, AttributeError)


def digest_of_gone(
    data: Path, name: str | None, source: str, settings_with: Callable[[str], RunSettings]
) -> str | None:
    """The digest of prompts whose source is gone, from the run that was begun with them and has them prepared.

    Args:
        data: the data folder.
        name: of the run, if the user named it; then any run of that name that came from the source will do, and its
            settings are compared later.
        source: absolute.
        settings_with: the settings of the command line, with prompts of a digest.

    Raises:
        ConfigurationError: several runs were begun with prompts from there, which were different.
    """
    found: dict[str, RunFolder] = {}
    for run, settings, begun_with in _runs(data):
        digest = settings.prompts_sha256
        if begun_with != source or not (run.prompts.exists() and run.prompts_table.exists()):
            continue
        if run.path.name == (name or run_name(settings_with(digest), source)):
            found[digest] = run
    if len(found) > 1:
        names = " or ".join(f"--name {run.path.name}" for run in found.values())
        raise ConfigurationError(
            f"{source} is gone, and runs were begun with what it held at different times. Say which you mean: {names}"
        )
    if not found:
        return None
    ((digest, run),) = found.items()
    logger.warning("%s is gone; %s has its prompts, as they were prepared, and needs no more.", source, run.path)
    return digest


def begun_elsewhere(data: Path, settings: RunSettings) -> RunFolder | None:
    """The run that was begun with these settings while its model's folder had another path."""
    if kind_of(settings.model) != "local":
        return None
    for run, begun, _ in _runs(data):
        moved = begun.model != settings.model and replace(settings, model=begun.model) == begun
        if moved and _has_its_model(run, settings.model):
            return run
    return None


def require_same_run(run: RunFolder, settings: RunSettings, source: str) -> None:
    """Refuse to go on in a run that was begun with other settings, or with prompts that give other rows.

    Raises:
        ConfigurationError: says what differs; of prompts how many rows, and whether some were added.
        InvalidRows: the prompts that are given now cannot be used.
    """
    begun = recorded_settings(run)
    if settings.model != begun.model and _has_its_model(run, settings.model):
        settings = replace(settings, model=begun.model)
    digest = settings.prompts_sha256
    only_prompts_differ = settings != begun and replace(settings, prompts_sha256=begun.prompts_sha256) == begun
    if not (only_prompts_differ and run.prompts.exists()):
        require_same_settings(run, settings)
    elif digest not in _known_as_same(run):
        _require_same_rows(run, settings, source)
        write_json(_record(run), {"digests": [*_known_as_same(run), digest]})
        logger.info("%s gives the rows that %s was begun with: it goes on with it.", source, run.path)


def say_equal_runs(run: RunFolder, settings: RunSettings) -> None:
    """Mention runs in the data folder with the same settings and prompts, under other names."""
    for other, theirs, _ in _runs(run.data):
        if other.path != run.path and theirs == settings:
            done = ", and its dataset is complete" if other.dataset_manifest.exists() else ""
            logger.warning(
                "The run %s has these settings and prompts too%s. --name %s goes on with it; this command begins "
                "a run of its own, and makes the same rows again.",
                other.path, done, other.path.name,
            )  # fmt: skip


def _runs(data: Path) -> Iterator[tuple[RunFolder, RunSettings, str]]:
    for run in RunFolder.all_in(data):
        try:
            yield run, recorded_settings(run), recorded_prompts_source(run)
        except _UNREADABLE:
            continue  # its own command says so


def _record(run: RunFolder) -> Path:
    return run.prompts_table.with_name("same.json")


def _known_as_same(run: RunFolder) -> list[str]:
    return list((read_json(_record(run)) or {}).get("digests", ()))


def _require_same_rows(run: RunFolder, settings: RunSettings, source: str) -> None:
    begun = recorded_manifest(run).prompts
    folder = run.prompts_table.parent
    with storage_errors(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".given-") as temporary:
        table = Path(temporary) / "prompts.parquet"
        given = prepare_prompts(prompt_options(settings, source), table)
        if given.sha256 != begun.sha256:
            require_same_settings(run, settings, _how_rows_differ(begun, run.prompts_table, given, table))


def _how_rows_differ(begun: PreparedPrompts, begun_table: Path, given: PreparedPrompts, table: Path) -> str:
    if begun.rows == given.rows:
        return f"{begun.rows:,} rows as before, with other texts or columns"
    less, longer = (begun, table) if begun.rows < given.rows else (given, begun_table)
    same = "the same" if digest_of_first(longer, less.rows) == less.sha256 else "others"
    return f"{begun.rows:,} rows → {given.rows:,} rows; the first {less.rows:,} are {same}"


def _has_its_model(run: RunFolder, model: str) -> bool:
    """Whether a folder has the content of the run's model, which is then read from there."""
    pinned = recorded_model(run.model)
    if pinned is None or pinned.kind != "local" or kind_of(model) != "local":
        return False
    if pinned.folder == model and pinned.is_on_disk():
        return True
    folder = Path(model)
    with storage_errors(folder):
        files = files_that_are_read(folder) if pinned.digests else all_files(folder)
        same = files == pinned.files and joined(digests_of(folder, files)) == pinned.revision
    if same:
        write_json(run.model, asdict(replace(pinned, folder=model)))
        logger.warning("%s has the model of %s, which lay at %s: it goes on with it.", model, run.path, pinned.folder)
    return same
