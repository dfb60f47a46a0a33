"""The boundary to Slurm, and the values that cross it; no cluster is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from promptmill.errors import ConfigurationError
from promptmill.slurm import commands
from promptmill.slurm.environment import Place, for_commands
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.options import SlurmOptions, split_arguments
from promptmill.slurm.packing import most_tasks, pack
from promptmill.slurm.scripts import array_script, log_pattern


def fake(folder: Path, name: str, text: str) -> None:
    """A command of Slurm's that is a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first where commands are looked for."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return tmp_path


def test_the_place_of_an_array_task_comes_from_the_environment() -> None:
    """Array job and index make the id that people write."""
    environment = {
        "SLURM_JOB_ID": "17", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": "1", "SLURM_CPUS_PER_TASK": "4",
    }  # fmt: skip
    assert Place("12_3", "17", 3, 2, "n1", "1", 4) == Place.of(environment)
    assert Place.of({}) is None


def test_a_job_hands_nothing_of_its_own_to_the_next() -> None:
    """The configuration stays, size and devices go; outside of a job nothing changes."""
    outside = {"SLURM_CONF": "c", "SLURM_ACCOUNT": "mine", "CUDA_VISIBLE_DEVICES": "0", "HOME": "h"}
    assert outside == for_commands(outside)
    assert for_commands({**outside, "SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "9"}) == {"SLURM_CONF": "c", "HOME": "h"}


def test_a_missing_command_says_what_to_run_instead(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Slurm is told of BuildDataset."""
    monkeypatch.setenv("PATH", str(bin_folder))
    with pytest.raises(SlurmUnavailable, match="BuildDataset"):
        commands.jobs(names=["a"])


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", SlurmUnavailable),
        ("sbatch: error: invalid partition specified: nope", SlurmRefused),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", SlurmUnavailable),
    ],
)
def test_no_answer_and_no_are_told_apart(bin_folder: Path, said: str, kind: type[Exception]) -> None:
    """One is waited out, the other mended."""
    fake(bin_folder, "sbatch", f"echo '{said}' >&2; exit 1")
    with pytest.raises(kind):
        commands.sbatch(bin_folder / "x.sbatch")


def test_what_squeue_cannot_tell_is_not_taken_for_over(bin_folder: Path) -> None:
    """Only an id that Slurm has forgotten is over; else jobs would be submitted twice."""
    fake(bin_folder, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert commands.jobs(ids=["9"]) == []
    fake(bin_folder, "squeue", "echo 'fatal: Could not establish a configuration source' >&2; exit 1")
    with pytest.raises(SlurmUnavailable):
        commands.jobs(ids=["9"])


def test_a_silent_slurm_is_given_up(bin_folder: Path) -> None:
    """Within the time that the caller has."""
    fake(bin_folder, "squeue", "exec sleep 20")
    with pytest.raises(SlurmUnavailable, match="has not answered"):
        commands.jobs(names=["a"], timeout=0.2)


def test_jobs_that_are_over_are_left_out(bin_folder: Path) -> None:
    """squeue goes on showing them for minutes."""
    lines = [
        "1_0|RUNNING|2026-01-02T03:04:05|n1|None|a",
        "1_1|PREEMPTED|N/A|n1|None|a",
        "2|PENDING|N/A||Dependency|a|b",
    ]
    fake(bin_folder, "squeue", "\n".join(f"echo '{line}'" for line in lines))
    running, waiting = commands.jobs(names=["a"])
    assert (running.id, running.runs, running.node, running.end and running.end.year) == ("1_0", True, "n1", 2026)
    assert (waiting.id, waiting.runs, waiting.name, waiting.reason) == ("2", False, "a|b", "Dependency")


def test_limits_of_cluster_and_user_are_kept(bin_folder: Path) -> None:
    """The smallest counts; one place is kept for the last job."""
    fake(bin_folder, "scontrol", "echo 'MaxArraySize            = 7'")
    fake(bin_folder, "sacctmgr", "exit 1")
    assert [most_tasks(3, None), most_tasks(100, None)] == [3, 7]
    fake(bin_folder, "sacctmgr", "echo 5")
    assert most_tasks(100, None) == 4
    fake(bin_folder, "sacctmgr", "echo 1")
    with pytest.raises(SlurmRefused, match="two"):
        most_tasks(100, None)


def test_ten_thousand_shards_are_packed_without_a_long_command_line() -> None:
    """Neighbours together, each shard once."""
    packed = pack(range(10_000), 7)
    assert [shard for task in packed for shard in task] == list(range(10_000))
    assert {len(task) for task in packed} == {1428, 1429}
    assert pack([3], 8) == [(3,)]


@pytest.mark.parametrize(("time", "seconds"), [("90", 5400), ("5:30", 330), ("4:00:00", 14400), ("1-12", 129600)])
def test_walltimes_are_read_as_slurm_does(time: str, seconds: int) -> None:
    """Minutes, MM:SS, HH:MM:SS, D-HH."""
    assert seconds == SlurmOptions(time=time).time_seconds


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"partition": "a b"}, "--partition is 'a b'"),
        ({"time": "soon"}, "4:00:00"),
        ({"max_parallel": 0}, "--max-parallel is 0"),
        ({"sbatch_args": ("--array=1-2",)}, "sets itself"),
        ({"sbatch_args": ("--comment=a\nb",)}, "one line"),
    ],
)
def test_bad_wishes_are_refused_in_words(wish: dict[str, object], says: str) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match=says):
        SlurmOptions(**wish)  # type: ignore[arg-type]


def test_further_arguments_stay_whole(tmp_path: Path) -> None:
    """A value with spaces and quotes is one line that sbatch reads as one argument."""
    options = SlurmOptions(sbatch_args=split_arguments("--nice=5 '--comment=a \"b\" c'"))
    assert options.lines(gpus=False)[-2:] == ["#SBATCH --nice=5", '#SBATCH "--comment=a \\"b\\" c"']
    assert options == SlurmOptions.from_json(json.loads(json.dumps(options.to_json())))


def test_scripts_are_sound_bash_whatever_the_path(tmp_path: Path) -> None:
    """Quotes, newlines and dollars in the one path that a script holds."""
    path = tmp_path / "a 'b' \"c\" $d `e` \n f"
    script = tmp_path / "s.sh"
    script.write_text(array_script("name", SlurmOptions(setup=("module load x",)), path))
    subprocess.run(["bash", "-n", script], check=True)
    assert "%%" in log_pattern(Path("50%"), "%A.log")
    with pytest.raises(ConfigurationError, match="backslash"):
        log_pattern(Path("a\\b"), "%A.log")


def test_arguments_reach_python_as_they_were_typed(tmp_path: Path) -> None:
    """Through a file, past any shell and any limit on command lines."""
    typed = ["--module", "nowhere", "Task", "--name", "a 'b' $c\n\"é\""]
    (tmp_path / "a.json").write_text(json.dumps({"argv": typed}))
    (tmp_path / "luigi").mkdir()
    (tmp_path / "luigi" / "__init__.py").touch()
    (tmp_path / "luigi" / "__main__.py").write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "promptmill.slurm.start", str(tmp_path / "a.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert typed == json.loads(done.stdout)
