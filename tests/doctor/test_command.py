"""`promptmill doctor` as people and scripts use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import fake_nvml, fake_program
from tests.forkserver import run_command
from tests.hub import HubServer
from tests.terminal import Terminal

DOCTOR = [sys.executable, "-m", "promptmill.cli", "doctor", "--timeout", "200"]
TOKEN = "hf_alice_secret_token"
PARTITION = "echo 'gpu|4:00:00|2|gpu:t4:6(S:0-1)'; echo 'cpu|1-00:00:00|30|(null)'"


@pytest.fixture
def sound(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which all is well: a Hub, a login, a Slurm, room."""
    hub.add_user("alice", token=TOKEN, orgs={"lab": "write"})
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "sacctmgr"):
        fake_program(programs, name, "exit 0")
    fake_program(programs, "sinfo", PARTITION)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**hub.environment(tmp_path / "home", token=TOKEN, xet=False), "PATH": path}


def doctor(*options: object, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command in a pipe."""
    return run_command([*DOCTOR, *map(str, options)], cwd=cwd, env={**os.environ, **env}, timeout=300)


def found(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Check → finding."""
    return {one["check"].strip(): one for one in json.loads(done.stdout)["findings"]}


def test_a_sound_machine_has_no_failures(sound: dict[str, str], tmp_path: Path) -> None:
    """In a pipe: 80 columns, no colours, exit code 0, and nothing is left behind."""
    (tmp_path / "here").mkdir()
    done = doctor(cwd=tmp_path / "here", env=sound)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    words = " ".join(done.stdout.split())
    for said in ("pass Python", "pass packages", "pass torch", "pass GPU no NVIDIA GPU", "quantises 4bit and 8bit",
                 "pass login alice, by a write token from HF_TOKEN; organisations: lab (write)",
                 "pass Slurm", "2 nodes with GPUs (gpu:t4:6), up to 4:00:00", "30 nodes without"):  # fmt: skip
        assert said in words
    assert "fail" not in words
    assert TOKEN not in done.stdout + done.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_a_machine_with_troubles_fails_with_what_to_do(sound: dict[str, str], hub: HubServer, tmp_path: Path) -> None:
    """As JSON: each trouble is a finding of its own, and the exit code is not 0."""
    fake_nvml(tmp_path, ("Tesla T4", 3.0, 15.0, (7, 5)), ("Tesla P40", 24.0, 24.0, (6, 1)))
    hub.revoke(TOKEN)
    fake_program(tmp_path / "bin", "sinfo", "echo 'slurm_load_partitions: Unable to contact slurmctld' >&2; exit 1")
    (tmp_path / "luigi.cfg").write_text("[BuildDataset\nmodel = x\n")
    done = doctor("--json", "--data-dir", "/proc/data", cwd=tmp_path, env={**sound, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "fail"
    findings = found(done)
    said = {check: (one["verdict"], one["says"]) for check, one in findings.items()}
    assert said["torch"][0] == "fail"  # a build for the CPU alone
    assert said["GPU 0"] == ("warn", "Tesla T4: 3.0 of 15.0 GiB free, capability 7.5, no bfloat16")
    assert said["GPU 1"] == ("pass", "Tesla P40: 24.0 of 24.0 GiB free, capability 6.1, no 8bit, no bfloat16")
    assert said["bitsandbytes CPU"][0] == "pass"
    assert said["bitsandbytes GPU 0"][0] == "fail"
    assert said["Hub"][0] == "pass"
    assert said["login"] == ("fail", "the token from HF_TOKEN is refused")
    assert said["data folder"][0] == "fail"
    assert said["Slurm"][0] == "fail"
    assert said["luigi.cfg"][0] == "fail"
    assert all(one["do"] for one in findings.values() if one["verdict"] == "fail")
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("colour", [True, False])
def test_at_a_terminal_verdicts_are_coloured(colour: bool, sound: dict[str, str], tmp_path: Path) -> None:
    """Unless NO_COLOR is set."""
    env = sound if colour else {**sound, "NO_COLOR": "1"}
    with Terminal(DOCTOR, cwd=tmp_path, env=env) as terminal:
        assert terminal.end() == 0
    assert ("\x1b[32mpass" in terminal.shown) is colour
    assert ("\x1b[" in terminal.shown) is colour
    assert max(map(len, terminal.text.splitlines())) <= 80
    assert "are as they should be." in terminal.text


def test_help_has_an_example(tmp_path: Path) -> None:
    """As every help should."""
    done = subprocess.run([*DOCTOR, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "promptmill doctor --data-dir /scratch/me/data" in " ".join(done.stdout.split())
