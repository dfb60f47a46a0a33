"""Starting operations as processes, and what came of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub import HubServer

TOKEN = "hf_alice_secret_token"
FILE_BYTES = 20_000


@dataclass(frozen=True)
class Outcome:
    """How an operation ended.

    Attributes:
        result: what it printed; None if it did not end well.
    """

    code: int
    said: str
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Client:
    """A user's machine: a hub to talk to, a home for caches and login, a token in the environment."""

    hub: HubServer
    home: Path
    token: str | None = TOKEN
    xet: bool = True

    def run(self, *arguments: object, timeout: float = 60, **variables: str) -> Outcome:
        """Run one operation to its end."""
        process = self.start(*arguments, **variables)
        try:
            out, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Outcome(process.returncode, said, json.loads(out) if process.returncode == 0 else None)

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        """Start one operation."""
        environment = {**os.environ, **self.hub.environment(self.home, token=self.token, xet=self.xet), **variables}
        command = [sys.executable, "-m", "tests.hub_stages.operations", *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )


def make_folder(folder: Path, files: int, *, bytes_each: int = FILE_BYTES, seed: int | None = None) -> Path:
    """A dataset folder with files of random bytes."""
    (folder / "data").mkdir(parents=True)
    chance = random.Random(seed)
    for number in range(files):
        (folder / "data" / f"train-{number:05d}-of-{files:05d}.parquet").write_bytes(chance.randbytes(bytes_each))
    return folder


def data_of(folder: Path) -> dict[str, bytes]:
    """The data files of a dataset folder, by their path in a repository."""
    return {f"data/{path.name}": path.read_bytes() for path in sorted((folder / "data").iterdir())}


def data_on(hub: HubServer, repo: str) -> dict[str, bytes]:
    """The data files of a dataset on the hub."""
    files = hub.files(repo, kind="dataset")
    return {path: content for path, content in files.items() if path.startswith("data/")}
