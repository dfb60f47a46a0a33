"""A forked command does what one that was started cold does, as far as others can see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forkserver import run_command, start_command
from tests.forkserver.client import Forked

SEEN = """
import os, sys
print(sys.argv, sys.path[0], os.getcwd(), __name__, os.environ["COLUMNS"], "PROMPTMILL_ODD" in os.environ)
print(oct(os.umask(0)), os.isatty(0), sys.stdin.read(), file=sys.stderr)
"""
# Not signal.pause(), which waits for ever if the signal comes just before.
WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
ENDS = {
    "to its end": "print('x')",
    "exit code": "import sys; sys.exit(7)",
    "exit with a text": "import sys; sys.exit('a text')",
    "exit without a code": "raise SystemExit",
    "code beyond a byte": "import sys; sys.exit(258)",
    "Ctrl-C": "raise KeyboardInterrupt",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "at exit": "import atexit; atexit.register(print, 'last words'); print('before')",
    "a thread": "import threading, time; threading.Timer(0.2, print, ['of the thread']).start()",
}


def cold(code: str, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Start Python."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, **given}, input="typed\n", capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_it_ends_as_a_cold_one(code: str) -> None:
    """With the same code and the same words; only a traceback shows where it was started."""
    expected, forked = cold(code), run_command([sys.executable, "-c", code], input="typed\n")
    assert (forked.returncode, forked.stdout) == (expected.returncode, expected.stdout)
    assert forked.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


def test_it_sees_what_a_cold_one_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, folder, environment, umask and standard input are those of the command, not of the server."""
    monkeypatch.chdir(tmp_path)
    given = {"COLUMNS": "33", "PROMPTMILL_ODD": "1"}
    words = [sys.executable, "-c", SEEN, "a b", "ü"]
    expected = cold(SEEN, "a b", "ü", **given)
    forked = run_command(words, env={**os.environ, **given}, input="typed\n")
    assert (forked.stdout, forked.stderr) == (expected.stdout, expected.stderr)


def test_luigi_reads_the_configuration_of_the_folder(tmp_path: Path) -> None:
    """Not that of the folder in which the server was started."""
    (tmp_path / "luigi.cfg").write_text("[BuildDataset]\nlimit = nothing\n")
    command = [sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset", "--local-scheduler"]
    done = run_command(command, cwd=tmp_path)
    assert done.returncode == 78
    assert "'nothing'" in done.stderr


def test_signals_reach_it(tmp_path: Path) -> None:
    """It leads a session of its own if asked to, and its end is known at once."""
    command = [sys.executable, "-c", WAITS]
    with start_command(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert isinstance(process, Forked), "this is about a forked one"
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 3


@pytest.mark.parametrize("name", ["PYTHONPATH", "LUIGI_CONFIG_PATH", "OMP_NUM_THREADS", "LC_ALL", "TZ"])
def test_what_imports_look_at_is_never_forked(name: str, tmp_path: Path) -> None:
    """A command with another value of it starts cold."""
    value = {"OMP_NUM_THREADS": "1", "LC_ALL": "C", "TZ": "UTC"}.get(name, str(tmp_path))
    process = start_command([sys.executable, "-c", ""], env={**os.environ, name: value})
    assert process.wait() == 0
    assert not isinstance(process, Forked)


def test_a_library_that_reads_the_hubs_address_is_imported_anew() -> None:
    """The client's constants are fixed while it is imported."""
    code = "from huggingface_hub import constants; print(constants.ENDPOINT)"
    done = run_command([sys.executable, "-c", code], env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:7"})
    assert done.stdout == "http://127.0.0.1:7\n"
