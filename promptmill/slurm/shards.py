"""Which shards of a run are done: judged by their manifests, read once a question."""

from __future__ import annotations

from pathlib import Path

from promptmill.plan import complete_shards, recorded_manifest
from promptmill.run import RunFolder


def missing_shards(run: RunFolder) -> list[int]:
    """The numbers of the shards that are not complete, in order.

    Raises:
        StorageError: the prompts were never prepared.
    """
    manifest = recorded_manifest(run)
    done = complete_shards(run, manifest)
    return [shard for shard in range(len(manifest.shards)) if shard not in done]


def chunks_of(run: RunFolder, shard: int) -> list[Path]:
    """The committed chunks of a shard, by name."""
    return sorted((run.shards / f"{shard:05d}").glob("chunk-*.parquet"))


def committed_after(run: RunFolder, moment: float, shards: list[int] | None = None) -> bool:
    """Whether anything was committed since `moment` (seconds since 1970), in these shards or any."""
    chosen = range(len(recorded_manifest(run).shards)) if shards is None else shards
    for shard in chosen:
        manifest = run.shards / f"{shard:05d}.json"
        if any(changed(path) >= moment for path in (manifest, *chunks_of(run, shard))):
            return True
    return False


def changed(path: Path) -> float:
    """When a file was last written, by the file server's clock; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
