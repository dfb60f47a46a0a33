"""`python -m promptmill.slurm.start ARGUMENTS.json`: become the command that the file holds.

So that no shell, and no limit on the length of a command line, comes between what a user typed and
the program: the file is JSON, with the list of arguments under `argv`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from promptmill.files import read_json


def main(path: str) -> None:
    """Replace this process by `python -m luigi ...`; signals then reach the program directly."""
    value = read_json(Path(path))
    if not isinstance(value, dict) or "argv" not in value:
        sys.exit(f"{path} is missing or damaged; run the same SubmitDataset command again.")
    os.execv(sys.executable, [sys.executable, "-m", "luigi", *value["argv"]])


if __name__ == "__main__":
    main(sys.argv[1])
