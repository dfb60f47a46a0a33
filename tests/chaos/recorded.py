"""`python -m tests.chaos.recorded FOLDER MODEL`: a small run, and the calls that the recorder saw, a line each."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.crash_points import record
from tests.chaos.small_run import SmallRun

if __name__ == "__main__":
    recording = record(SmallRun(Path(sys.argv[1]), Path(sys.argv[2])))
    for call in recording.calls:
        sys.stdout.write(f"{call.kind}\t{call.path}\t{call.to}\n")
