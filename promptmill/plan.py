"""How a run's rows are cut into shards; fixed when the prompts are prepared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

from promptmill.errors import ConfigurationError, StorageError
from promptmill.files import read_json, sha256_of, write_json
from promptmill.prompts import PreparedPrompts, PromptOptions
from promptmill.run import RunFolder, recorded_identity
from promptmill.settings import RunSettings
from promptmill.shard import ShardManifest, ShardStore

# Luigi's scheduler is quadratic in the number of tasks: 1,000 take 2 s over a whole run, 4,000 take 180 s.
MAX_SHARDS = 1000
SMALL_SHARD_ROWS = 128
"""Rows of a shard of a small set."""
_FEW_SHARDS = 16
_SHARD_ROWS = 4096


@dataclass(frozen=True)
class PromptsManifest:
    """The prepared prompts of a run and its shards.

    Attributes:
        samples: rows a prompt.
        shards: of each the first prompt and the one after the last.
        file_sha256: of the prepared file as it lies on disk.
    """

    prompts: PreparedPrompts
    samples: int
    shards: tuple[tuple[int, int], ...]
    file_sha256: str

    @property
    def rows(self) -> int:
        """Rows of the whole dataset."""
        return self.prompts.rows * self.samples

    def shard_rows(self, shard: int) -> int:
        """Rows of one shard."""
        start, stop = self.shards[shard]
        return (stop - start) * self.samples


def shard_count(rows: int, small_shard_rows: int = SMALL_SHARD_ROWS) -> int:
    """How many shards a dataset of `rows` has.

    It depends on nothing else, so that a run may go on with any number of workers. Small sets
    still give a few processes something to do; large ones stay below what Luigi schedules quickly.
    """
    few = min(rows // small_shard_rows, _FEW_SHARDS)
    return max(1, few, min(rows // _SHARD_ROWS, MAX_SHARDS))


def cut(prompts: int, samples: int, small_shard_rows: int = SMALL_SHARD_ROWS) -> tuple[tuple[int, int], ...]:
    """The shards' borders: whole prompts, as equal as can be."""
    count = min(shard_count(prompts * samples, small_shard_rows), prompts)
    borders = [prompts * index // count for index in range(count + 1)]
    return tuple(pairwise(borders))


def prompt_options(settings: RunSettings, source: str) -> PromptOptions:
    """How a run with these settings prepares the prompts of `source`."""
    return PromptOptions(
        source=source,
        column=settings.prompt_column,
        template=settings.template,
        limit=settings.limit,
        drop_last_answer=settings.drop_last_answer,
        prompt_per_file=settings.prompt_per_file,
        file_column=settings.file_column,
    )


def write_manifest(
    run: RunFolder, prompts: PreparedPrompts, samples: int, small_shard_rows: int = SMALL_SHARD_ROWS
) -> None:
    """Fix the shards and prove the prepared prompts complete."""
    shards = cut(prompts.rows, samples, small_shard_rows)
    manifest = PromptsManifest(prompts, samples, shards, sha256_of(run.prompts_table))
    write_json(run.prompts, asdict(manifest))


def require_own_prompts(run: RunFolder, prompts: PreparedPrompts) -> None:
    """Refuse prompts that are prepared anew for a run that has an identity, if they are not those.

    Raises:
        ConfigurationError: the source has changed since.
    """
    if run.identity.exists() and recorded_identity(run).prompts != prompts.sha256:
        raise ConfigurationError(
            f"{prompts.source} no longer gives the prompts that {run.path} was begun with (see {run.identity.name}). "
            "Restore them, or start again with another --name."
        )


def recorded_manifest(run: RunFolder) -> PromptsManifest:
    """The manifest in `prompts.json`.

    Raises:
        StorageError: it is missing or damaged.
    """
    value = read_json(run.prompts)
    if value is None:
        raise StorageError(f"{run.prompts} is missing or damaged; move it away and start the same command again.")
    return PromptsManifest(
        PreparedPrompts.from_json(value["prompts"]),
        value["samples"],
        tuple((start, stop) for start, stop in value["shards"]),
        value["file_sha256"],
    )


def shard_store(run: RunFolder, manifest: PromptsManifest, shard: int) -> ShardStore:
    """The store of one shard of a run whose identity is fixed."""
    fingerprint = recorded_identity(run).fingerprint
    rows = manifest.shard_rows(shard)
    return ShardStore(run.shards, shard, fingerprint=fingerprint, rows=rows, record=run.record)


def complete_shards(run: RunFolder, manifest: PromptsManifest) -> dict[int, ShardManifest]:
    """The manifests of the shards that are complete, by number."""
    if not run.identity.exists():
        return {}
    fingerprint = recorded_identity(run).fingerprint
    found = {}
    for shard in range(len(manifest.shards)):
        store = ShardStore(run.shards, shard, fingerprint=fingerprint, rows=manifest.shard_rows(shard))
        complete = store.manifest()
        if complete is not None:
            found[shard] = complete
    return found
