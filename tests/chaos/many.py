"""Many command lines of BuildDataset in one go: `python -m tests.chaos.many < CASES`, a JSON list of lists of options.

Each is the whole command in a process of its own, forked from one that has imported the libraries; what it said
and how it ended comes back as a JSON list, and each class that was unpickled is a line UNPICKLED in it. One that
does not end within two minutes is ended by its alarm, with code -14.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback

import torch  # noqa: F401 - so that no child needs seconds for it
import transformers  # noqa: F401
from luigi.cmdline import luigi_run

import workflows  # noqa: F401
from promptmill.engine.compiled import load_kernel

SECONDS = 120


def run(options: list[str]) -> tuple[int, str]:
    """How one command ends, and all that it says."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            signal.alarm(SECONDS)
            _become_the_command(options)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode("utf-8", "replace")


def _tell_of_pickles(event: str, arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class":
        os.write(2, f"UNPICKLED {arguments}\n".encode())


def _become_the_command(options: list[str]) -> None:
    sys.addaudithook(_tell_of_pickles)
    code = 1
    try:
        luigi_run(["--module", "workflows", "BuildDataset", "--local-scheduler", *options])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    load_kernel()  # Numba keeps what it compiled as a pickle beside our code: not one of those that are looked for
    json.dump([run(options) for options in json.load(sys.stdin)], sys.stdout)
