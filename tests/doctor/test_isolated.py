"""A check that crashes, fails or hangs is its own failure alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptmill.doctor.isolated import findings
from promptmill.doctor.values import Finding
from tests.fakes import fake_program

PATIENCE = 200.0


def seen(*names: str, data: Path, seconds: float = PATIENCE) -> list[Finding]:
    """The findings of some checks."""
    return list(findings(names, data, seconds=seconds))


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("import os; os.abort()", "the check crashed (SIGABRT)"),
        ("raise ImportError('libcuda is of another version')", "the check failed: ImportError: libcuda is of another"),
        ("import sys; sys.exit(3)", "the check failed: exit code 3"),
    ],
)
def test_a_crash_is_a_failure_of_that_check(
    module: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is not touched; the command to look closer is named."""
    (tmp_path / "pynvml.py").write_text(f"{module}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    gpu, luigi = seen("GPU", "luigi.cfg", data=tmp_path)
    assert (gpu.check, gpu.verdict) == ("GPU", "fail")
    assert gpu.says.startswith(says)
    assert "python -m promptmill.doctor.one GPU" in str(gpu.do)
    assert luigi.verdict == "pass"


def test_a_check_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it started goes with it."""
    for name in ("sbatch", "squeue", "scontrol", "sacctmgr"):
        fake_program(tmp_path, name, "exit 0")
    fake_program(tmp_path, "sinfo", f"echo $$ >{tmp_path}/pid; exec sleep 1000")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (slurm,) = seen("Slurm", data=tmp_path, seconds=5)
    assert (slurm.verdict, slurm.says) == ("fail", "did not answer within 5 s")
    assert "--timeout" in str(slurm.do)
    if (tmp_path / "pid").exists():  # on a slow machine the check is given up before it comes so far
        pid = (tmp_path / "pid").read_text().strip()
        status = Path(f"/proc/{pid}/stat")
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
            pass


def test_what_libraries_print_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last line is."""
    (tmp_path / "pynvml.py").write_text(
        "print('[{}]')\nNVML_ERROR_LIBRARY_NOT_FOUND = NVML_ERROR_DRIVER_NOT_LOADED = 12\n"
        "class NVMLError(Exception): value = 12\ndef nvmlInit(): raise NVMLError\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (gpu,) = seen("GPU", data=tmp_path)
    assert (gpu.verdict, "no NVIDIA GPU" in gpu.says) == ("pass", True)


def test_a_file_of_the_users_folder_is_not_taken_for_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A json.py or queue.py lies about in many a folder."""
    (tmp_path / "pynvml.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (gpu,) = seen("GPU", data=tmp_path)
    assert gpu.verdict == "pass"
