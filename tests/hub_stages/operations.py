"""The core's three operations on the Hub, as a process of its own that a test can kill.

    python -m tests.hub_stages.operations check [--model REPO] [--publish-to REPO]
    python -m tests.hub_stages.operations download REPO
    python -m tests.hub_stages.operations publish FOLDER REPO

The result is printed as JSON; an error of promptmill goes to stderr and becomes the exit code.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptmill.errors import PromptmillError
from promptmill.files import sha256_of
from promptmill.hub.auth import check_access
from promptmill.hub.commits import LocalFile, Publication
from promptmill.hub.download import download_model, resolve
from promptmill.hub.marker import marker_content
from promptmill.hub.patience import Patience
from promptmill.hub.publish import Target, publish

FINGERPRINT = "f" * 64
INTERIM = b"---\ntags: [synthetic]\n---\n# Being published, not complete yet\n"


def publication_of(folder: Path) -> Publication:
    """The files of `folder/data` with a card."""
    paths = sorted(folder.glob("data/*"))
    files = {f"data/{path.name}": LocalFile(path, path.stat().st_size, sha256_of(path)) for path in paths}
    card = f"---\ntags: [synthetic]\n---\n# {len(files)} files\n".encode()
    return Publication(files, marker_content(FINGERPRINT, {}), card, INTERIM)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """One operation, with patience for tests."""
    patience = Patience(given.total, given.request, given.connect_tries)
    if given.operation == "check":
        access = check_access(
            given.model, given.publish_to, now=time.time(), overwrite=given.overwrite, patience=patience
        )
        return asdict(access)
    if given.operation == "download":
        commit = resolve(given.repo, given.revision, patience=patience).commit
        folder, files = download_model(given.repo, commit, allow_pickle=given.allow_pickle, patience=patience)
        return {"commit": commit, "folder": str(folder), "files": list(files)}
    target = Target(given.repo, given.fingerprint, private=given.private, overwrite=given.overwrite)
    wanted = publication_of(given.folder)
    published = publish(wanted, target, message="test", patience=patience, commit_bytes=given.commit_bytes)
    return asdict(published)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(prog="python -m tests.hub_stages.operations")
    main_parser.add_argument("--total", type=float, default=60)
    main_parser.add_argument("--request", type=float, default=10)
    main_parser.add_argument("--connect-tries", type=int, default=3)
    operations = main_parser.add_subparsers(dest="operation", required=True)
    check = operations.add_parser("check")
    check.add_argument("--model")
    check.add_argument("--publish-to")
    download = operations.add_parser("download")
    download.add_argument("repo")
    download.add_argument("--revision")
    download.add_argument("--allow-pickle", action="store_true")
    publishing = operations.add_parser("publish")
    publishing.add_argument("folder", type=Path)
    publishing.add_argument("repo")
    publishing.add_argument("--private", action="store_true")
    publishing.add_argument("--commit-bytes", type=int, default=100_000)
    publishing.add_argument("--fingerprint", default=FINGERPRINT)
    for some in (check, publishing):
        some.add_argument("--overwrite", action="store_true")
    return main_parser


def main() -> None:
    """Do it, and say how it went."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        result = run(parser().parse_args())
    except PromptmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
