"""`promptmill report` as people use it, and what it says of good, bad and unfinished runs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from promptmill.files import write_json
from promptmill.report.drawing import DrawingFailed, library, library_cache
from promptmill.report.writing import read_report, write_report
from promptmill.run import RunFolder
from promptmill.slurm.layout import SlurmFolder
from tests.report.runs import answered, failed, life, report, run_of, tell

NOT_FOUND = 66
MOST_BYTES = 5_000_000


def various(count: int) -> list[str]:
    """Texts that have little in common."""
    return [" ".join(f"w{(at + 1) * step * 7919 % 10_007}" for step in range(1, 12)) for at in range(count)]


def words(text: str) -> str:
    """Without line breaks, which depend on the width, and with ordinary spaces."""
    return " ".join(text.split())


def test_a_good_run_gets_a_good_word(tmp_path: Path) -> None:
    """In a pipe: 80 columns, no colours, and the path to open."""
    run = run_of(tmp_path, answered(*various(200)), whole=True)
    tell(run, "a-1", life("a", 0, 1000, rate=2, end="done"))
    done = report("stub", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert words(done.stdout).startswith(
        "Looks good: All 200 rows are there, none of them with an error, 0 % were cut at the token limit and 0 % "
        "repeat another response word for word. They took 17 min of generating at 2 tokens/s, without interruption."
    )
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.splitlines()[-1] == "data/runs/stub/report.html"
    assert 500_000 < (run.path / "report.html").stat().st_size < MOST_BYTES


def test_in_a_terminal_the_word_has_a_colour_unless_unwanted(tmp_path: Path) -> None:
    """NO_COLOR is honoured."""
    run_of(tmp_path, answered(*various(30)))
    coloured, plain = in_terminal(tmp_path, {}), in_terminal(tmp_path, {"NO_COLOR": "1"})
    assert "\x1b[1;32mLooks good" in coloured
    assert "\x1b[1;32m" not in plain
    assert "Looks good" in plain


def in_terminal(cwd: Path, extra: dict[str, str]) -> str:
    """What the command says in a terminal of 80 columns."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **extra}
    if "NO_COLOR" not in extra:
        environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "promptmill.cli", "report", "stub", "--output", str(cwd / "r.html")]
    with subprocess.Popen(command, cwd=cwd, env=environment, stdin=follower, stdout=follower, stderr=follower) as child:
        os.close(follower)
        said = b""
        while block := _read(leader):
            said += block
    os.close(leader)
    assert child.returncode == 0, said
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # The other end is closed.


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    """With what is there, and what to do."""
    run = run_of(tmp_path, answered(*various(50)), missing=30)
    told = read_report(run)
    assert (told.verdict.level, told.verdict.word) == ("look", "Not finished")
    assert told.verdict.sentence.startswith("50 of the 80 rows are there")
    assert told.verdict.findings[0].text == "30 rows of 80 are still to be made."
    done = report(run.path, "--output", tmp_path / "elsewhere.html", cwd=tmp_path)
    assert words(done.stdout).startswith("Not finished: 50 of the 80 rows are there")
    assert "Not finished" in (tmp_path / "elsewhere.html").read_text()
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("rows", "level", "says"),
    [
        ([*answered(*various(10)), *[failed("too long: 9")] * 10], "bad", "10 rows (50 %) could not be generated."),
        ([*answered(*various(99)), failed("too long: 9")], "look", "Most often: too long: #"),
        ([*answered(*various(999)), failed("too long: 9")], "good", "1 row (0.1 %) could not be generated."),
        (answered(*various(95), *[" "] * 5), "look", "5 responses (5.0 %) are empty."),
        (answered(*various(20), *["Yes."] * 80), "bad", "79 % of the responses repeat another one word for word."),
        (answered(*(f"{' '.join(various(1) * 3)} {at}" for at in range(30))), "look", "resemble another one closely"),
        (answered(*various(80), *(f"As an AI, {text}" for text in various(20))), "look", "20 % of the responses begin"),
        (answered(*various(60), *(f"Sure, here it is: {t}" for t in various(40))), "look", "begin with the same words"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: list, level: str, says: str) -> None:  # type: ignore[type-arg]
    """Each with its share, and the worst decides."""
    verdict = read_report(run_of(tmp_path, rows, whole=True)).verdict
    assert verdict.level == level
    assert any(says in words(finding.text) for finding in verdict.findings), verdict


def test_a_run_that_ended_for_a_reason_says_it(tmp_path: Path) -> None:
    """Failed processes, nodes that cannot do it, and rows that were made twice."""
    run = run_of(tmp_path, answered(*various(100)))
    tell(run, "a-1", life("a", 0, 500, rate=10, end="failed"))
    write_json(SlurmFolder.of(run).ended, {"reason": "nothing was committed", "at": 0})
    findings = [words(finding.text) for finding in read_report(run).verdict.findings]
    assert "1 process failed on the way." in findings
    assert "The run ended before it was complete: nothing was committed" in findings
    assert any(text.startswith("400 rows (80 % of all that was generated) got lost") for text in findings)


def test_a_run_without_rows_is_told_where_to_look(tmp_path: Path) -> None:
    """In a sentence, with an exit code; so is one that does not exist."""
    run_of(tmp_path, [], missing=5)
    done = report("stub", cwd=tmp_path)
    assert (done.returncode, "promptmill status data/runs/stub" in done.stderr) == (NOT_FOUND, True)
    assert "Traceback" not in done.stderr
    assert report("stbu", cwd=tmp_path).returncode == NOT_FOUND


def test_without_v8_the_report_comes_without_charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V8 ends its process where the address space is limited; the numbers are there all the same."""
    run = run_of(tmp_path, answered(*various(30)))
    ends = tmp_path / "python"
    ends.write_text("#!/bin/sh\nkill -TRAP $$\n")
    ends.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ends))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    write_report(run)
    page = (run.path / "report.html").read_text()
    assert "The charts could not be drawn: V8 was ended by signal 5" in page
    assert 'id="chart-responses"' not in page
    assert "How rows ended" in page


def test_the_library_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one script, kept for the next report; where it is damaged or cannot be kept it is made again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    script = library()
    assert "vegaEmbed" in script
    kept = library_cache().read_bytes()
    with monkeypatch.context() as without:
        without.setattr(sys, "executable", "/bin/false")
        assert library() == script
        library_cache().write_bytes(kept[:1000])
        with pytest.raises(DrawingFailed):
            library()
    assert library() == script
    assert library_cache().read_bytes() == kept
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/no-folder")
    assert library() == script


def test_help_has_an_example(tmp_path: Path) -> None:
    """As every help should."""
    assert "promptmill report data/runs/my-run" in words(report("--help", cwd=tmp_path).stdout)


def test_the_report_does_not_import_torch(tmp_path: Path) -> None:
    """Nor does the command line import what draws before it is asked to."""
    run = run_of(tmp_path, answered(*various(3)))
    check = (
        "import sys, promptmill.cli; assert not {'altair', 'vl_convert', 'jinja2'} & set(sys.modules); "
        "from pathlib import Path; from promptmill.report.writing import write_report; "
        "from promptmill.run import RunFolder; write_report(RunFolder(Path(sys.argv[1]))); "
        "assert not {'torch', 'transformers', 'luigi', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check, str(run.path)], check=True)


def test_the_folder_of_the_run_is_as_it_was(tmp_path: Path) -> None:
    """The report is the only new file."""
    run = run_of(tmp_path, answered(*various(30)), chunks=2)
    before = _files(run)
    report("stub", cwd=tmp_path)
    assert _files(run) - before == {run.path / "report.html"}


def _files(run: RunFolder) -> set[Path]:
    return {path for path in run.path.rglob("*") if path.is_file()}
