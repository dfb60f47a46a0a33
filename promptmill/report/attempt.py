"""The report as a part of assembling: tried in a process of its own, and never a reason to fail.

It takes memory of its own and libraries of other languages; a dataset of days is not to go with them.
"""

from __future__ import annotations

import logging
import subprocess
import sys

from promptmill.files import read_json, write_json
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)

# Ten times what ten million rows take.
MOST_SECONDS = 1800.0


NO_PICTURE = "--no-picture"
_VERDICT = "verdict.json"


def attempt_report(run: RunFolder) -> None:
    """Write the report, and the card's picture, of a run whose dataset is laid out; a failure is logged."""
    _attempt(run)


def have_report(run: RunFolder) -> None:
    """Write the report of a finished run anew if it is missing; a failure is logged."""
    if not run.report.exists():
        logger.info("%s is missing; it is written again.", run.report)
        _attempt(run, NO_PICTURE)


def note_verdict(run: RunFolder, word: str, sentence: str) -> None:
    """Keep what the report says in a sentence, for the last lines of the run.

    Raises:
        StorageError: it cannot be written.
    """
    write_json(run.path / _VERDICT, {"word": word, "sentence": sentence})


def verdict_on(run: RunFolder) -> str:
    """What the report says in a sentence, with a blank behind it; empty if nobody noted it."""
    value = read_json(run.path / _VERDICT)
    return f"{value['word']}: {value['sentence']} " if isinstance(value, dict) else ""


def _attempt(run: RunFolder, *options: str) -> None:
    command = [sys.executable, "-m", "promptmill.report", str(run.path), *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        _failed(run, f"{error}.")
        return
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        _failed(run, said[-1][:500] if said else f"It ended with code {done.returncode}.")


def _failed(run: RunFolder, why: str) -> None:
    logger.warning(
        "The report or the card's picture is missing: %s The dataset is complete without; for the report, run "
        "`promptmill report %s`.",
        why,
        run.path,
    )
