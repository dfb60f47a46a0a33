"""What identifies a model that lies in a folder: the content of the files that loading reads, wherever the folder is.

Not what tools and trainings leave beside them: version control, logs, checkpoints, states of optimizers, notes. Digests
of runs that were begun before that was so are over everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from promptmill.files import sha256_of

TEMPLATES = "additional_chat_templates"
"""The one folder below a model's that transformers reads chat templates from."""
_NEVER_READ = (
    "*.md", "*.log", "*.out", "*.err", "*.lock", "*.tmp", "*.png", "*.jpg", "*.html", "LICENSE*", "NOTICE*",
    "events.out.tfevents*", "optimizer.*", "scheduler.pt", "scaler.pt", "rng_state*", "training_args.bin",
    "trainer_state.json", "*_results.json", "*_loss.png", "latest", "zero_to_fp32.py",
)  # fmt: skip
"""Names of what Trainer, DeepSpeed and people write beside a model."""


def files_that_are_read(folder: Path) -> dict[str, int]:
    """The sizes of the files that loading reads: those in the folder itself, its templates, and all Python files."""
    top = (path for path in folder.iterdir() if not any(fnmatch(path.name, name) for name in _NEVER_READ))
    below = (path for path in folder.rglob("*.py") if path.parent != folder)
    return _sizes(folder, [*top, *(folder / TEMPLATES).glob("*"), *below])


def all_files(folder: Path) -> dict[str, int]:
    """The sizes of all files, which digests once were over."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def digests_of(folder: Path, names: Mapping[str, int]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: sha256_of(folder / name) for name in sorted(names)}


def joined(digests: Mapping[str, str]) -> str:
    """The digest that stands for a commit: of names and contents."""
    digest = hashlib.sha256()
    for name in sorted(digests):
        digest.update(f"{name}\0{digests[name]}\n".encode())
    return digest.hexdigest()[:40]


def first_difference(known: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first file that is another, gone or new, in words; None if nothing is known of single files."""
    if not known:
        return None
    for name in sorted({*known, *now}):
        if name not in now:
            return f"{name} is gone"
        if name not in known:
            return f"{name} is new"
        if known[name] != now[name]:
            return f"{name} is another"
    return None


def _sizes(folder: Path, paths: list[Path]) -> dict[str, int]:
    names = {path.relative_to(folder): path for path in sorted(paths) if path.is_file()}
    return {
        str(name): path.stat().st_size
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }
