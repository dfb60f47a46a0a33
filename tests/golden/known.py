"""The golden runs: what their users typed, and what is known of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.golden.models import CHAT, PLAIN
from tests.hub import HubServer

RECORD = Path(__file__).with_name("runs.json")
USER, TOKEN = "alice", "hf_golden"
PUBLISHED = f"{USER}/golden"


@dataclass(frozen=True)
class Golden:
    """A run as its user typed it.

    Attributes:
        name: of its folder in the archive.
        model: repository on the tests' Hub.
        options: of BuildDataset, all that change the rows.
    """

    name: str
    model: str
    options: tuple[object, ...]

    @property
    def command(self) -> tuple[object, ...]:
        """The options, the model's too."""
        return ("--model", self.model, *self.options)


FINISHED = Golden(
    "finished", CHAT, ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--temperature", 1.0, "--seed", 3)
)
STOPPED = Golden(
    "stopped",
    PLAIN,
    (
        *("--prompts", "prompts.jsonl", "--max-new-tokens", 12, "--seed", 1, "--samples-per-prompt", 2),
        *("--template", "Level {{ level }}, {{ topic }}{% if note %} ({{ note }}){% endif %}:"),
        *("--temperature", 0.8, "--top-k", 40, "--top-p", 0.9, "--min-p", 0.02, "--stop", '["yo", "or"]'),
    ),
)
SUBMITTED = Golden(
    "submitted",
    CHAT,
    (
        *("--prompts", "prompts.jsonl", "--system-prompt", "Be brief.", "--max-new-tokens", 6),
        *("--temperature", 0, "--repetition-penalty", 1.1),
    ),
)


@dataclass(frozen=True)
class Recorded:
    """What is known of a golden run.

    Attributes:
        name: of the run itself.
        committed: rows that it had when it was packed.
        data: SHA-256 of each Parquet file of its dataset.
    """

    name: str
    fingerprint: str
    committed: int
    rows: int
    data: dict[str, str]


def recorded(run: Golden) -> Recorded:
    """What was recorded of a run when it was made."""
    return Recorded(**record()["runs"][run.name])


def record() -> dict[str, Any]:
    """All that was recorded."""
    value: dict[str, Any] = json.loads(RECORD.read_text())
    return value


def add_models(hub: HubServer, folder: Path) -> dict[str, str]:
    """Put the models on a Hub; returns their commits, which their bytes alone decide."""
    commits = {}
    for repo in (CHAT, PLAIN):
        commits[repo] = hub.add_model(repo, {path.name: path.read_bytes() for path in (folder / repo).iterdir()})
    return commits
