"""`python -m promptmill.report RUN_FOLDER`: the report and the card's picture, for a dataset that was laid out.

With `--no-picture` the report alone: the picture is a part of the dataset, and stays as it was published.
"""

from __future__ import annotations

import sys
from pathlib import Path

from promptmill.card import PICTURE
from promptmill.errors import PromptmillError
from promptmill.report.attempt import NO_PICTURE, note_verdict
from promptmill.report.still import write_still
from promptmill.report.writing import write_report
from promptmill.run import RunFolder


def main(folder: str, *options: str) -> None:
    """Write them; an error is one sentence on stderr."""
    run = RunFolder(Path(folder))
    try:
        verdict = write_report(run).verdict
        note_verdict(run, verdict.word, verdict.sentence)
        if NO_PICTURE not in options:
            write_still(sorted(run.dataset.glob("data/*.parquet")), run.dataset / PICTURE)
    except PromptmillError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
