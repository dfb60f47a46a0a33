"""`promptmill fit` as people and scripts use it: in a terminal, in a pipe."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forkserver import run_command
from tests.placing.models import CONFIGS
from tests.slurm.test_boundary import fake
from tests.terminal import Terminal

NOT_FOUND, CONFIGURATION = 66, 78
LLAMA = CONFIGS / "llama-2-7b.json"


def command(*options: object) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "promptmill.cli", "fit", *map(str, options)]


def fit(*options: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it in a pipe."""
    return run_command(command(*options), cwd=cwd, env={**os.environ, **variables}, timeout=120)


def test_a_pipe_gets_80_columns_without_colours(tmp_path: Path) -> None:
    """Weights, KV cache, total; GPUs and rows; the command at the end. As docs/memory.md works it out by hand."""
    done = fit(LLAMA, "--gpu", "T4:6", "--gpu", "RTX 6000:2", cwd=tmp_path, COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said
    assert re.search(r"llama, 6\.74 billion parameters, 32 layers, 4,096 positions", said)
    assert re.search(r"float16/bfloat16 +12\.6 +512 KiB +4\.0 +1\.2 +0\.5 +18\.2", said)
    assert re.search(r"4bit +3\.6 +0\.5 +512 KiB +4\.0 +1\.3 +0\.5 +9\.4", said)
    assert re.search(r"6 × T4 +15 +3, \d+ rows +1, 2 rows +1, 23 rows +1, 34 rows", said)
    assert "no bfloat16 (Turing)" in said
    assert "luigi --module workflows BuildDataset" in said.split("Recommended: ")[1]


def test_a_terminal_gets_colours_and_its_own_width(tmp_path: Path) -> None:
    """Unless NO_COLOR is set."""
    with Terminal(command(LLAMA, "--gpu", "T4:6"), cwd=tmp_path) as terminal:
        assert terminal.end() == 0
    assert "\x1b[32m" in terminal.shown
    assert max(map(len, terminal.text.splitlines())) <= 80
    assert "1, 34 rows" in terminal.text
    with Terminal(command(LLAMA, "--gpu", "T4:6"), cwd=tmp_path, env={"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.shown)
    assert "1, 34 rows" in terminal.text


def test_scripts_get_one_json_object(tmp_path: Path) -> None:
    """With sizes in bytes."""
    value = json.loads(fit(LLAMA, "--gpu", "T4:6", "--json", cwd=tmp_path).stdout)
    assert value["model"]["parameters"] == 6_738_415_616
    half = next(row for row in value["memory"] if row["precision"] == "float16/bfloat16")
    assert half["weights"] == pytest.approx(2 * 6_738_415_616, abs=1024)
    assert (half["kv_token"], half["kv_cache"]) == (512 * 1024, 16 * 512 * 512 * 1024)
    assert half["total"] == half["weights"] + half["kv_cache"] + half["working"] + half["context"]
    four = next(one for one in value["gpus"] if one["precision"] == "4bit")
    assert (four["fits_one"], four["gpus_needed"], four["largest_batch"], four["dtype"]) == (True, 1, 34, "float16")
    assert value["recommended"]["copies"] == 6
    assert value["command"].startswith("luigi --module workflows BuildDataset --model ")


def test_rows_of_another_length_take_another_cache(tmp_path: Path) -> None:
    """`--context` × `--batch-size` positions."""
    value = json.loads(fit(LLAMA, "--gpu", "T4", "--context", 2048, "--batch-size", 3, "--json", cwd=tmp_path).stdout)
    assert (value["positions"], value["rows"]) == (2048, 3)
    assert value["memory"][1]["kv_cache"] == 3 * 2048 * 512 * 1024
    done = fit(LLAMA, "--context", 5000, cwd=tmp_path)
    assert (done.returncode, "Choose --context 4096 or less" in done.stderr) == (CONFIGURATION, True)


def test_prompts_and_a_speed_make_hours(tmp_path: Path) -> None:
    """Against the walltime; options that would come to nothing are refused."""
    (tmp_path / "p.txt").write_text("a prompt\n" * 9000)
    options = ("--samples-per-prompt", 2, "--tokens-per-second", 100, "--time", "1:00:00")
    said = fit(LLAMA, "--gpu", "RTX 6000:2", "--prompts", "p.txt", *options, cwd=tmp_path).stdout
    assert "18,000 rows, at most 4,608,000 tokens" in said
    assert "100 tokens/s a copy (as given) and 2 at a time: 6.4 h" in said
    assert "6 requeues of each job" in said
    unknown = fit(LLAMA, "--gpu", "T4:6", "--prompts", "p.txt", cwd=tmp_path).stdout
    assert "Tokens/s are not known" in unknown
    done = fit(LLAMA, "--tokens-per-second", 9, cwd=tmp_path)
    assert (done.returncode, "needs --prompts" in done.stderr) == (CONFIGURATION, True)


def test_where_nothing_fits_the_next_smaller_things_are_named(tmp_path: Path) -> None:
    """And there is no command."""
    done = fit(CONFIGS / "llama-2-70b.json", "--gpu", "T4:2", cwd=tmp_path)
    assert done.returncode == 0
    assert "Nothing at hand holds it" in done.stdout
    assert "3 × T4" in done.stdout
    assert "luigi" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["./nowhere"], NOT_FOUND, "there is no such folder"),
        ([LLAMA, "--gpu", "T5"], CONFIGURATION, "choose one of: T4, V100-16GB"),
        ([LLAMA, "--gpu", "T4", "--time", "soon"], CONFIGURATION, "write it as Slurm does"),
        ([LLAMA, "--gpu", "T4", "--prompts", "nowhere.txt"], NOT_FOUND, "There is no file nowhere.txt"),
    ],
)
def test_errors_are_sentences(options: list[object], code: int, said: str, tmp_path: Path) -> None:
    """With an exit code, on stderr, without a traceback."""
    done = fit(*options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_an_example(tmp_path: Path) -> None:
    """As every help should."""
    said = " ".join(fit("--help", cwd=tmp_path).stdout.split())
    assert "promptmill fit Qwen/Qwen2.5-7B-Instruct --gpu 'T4:6' --gpu 'RTX 6000:2'" in said


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """Neither for a local config nor for the demo model: it answers at once, on a login node."""
    check = (
        "import sys, typer; from promptmill.cli import app\n"
        "for model in sys.argv[1:]:\n"
        "    app(['fit', model, '--gpu', 'T4:6'], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'datasets', 'luigi', 'pyarrow', 'huggingface_hub'}\n"
        "found = sorted(heavy & set(sys.modules)); sys.exit(', '.join(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", check, str(LLAMA), "demo"], check=True, cwd=tmp_path, capture_output=True)


def test_the_recommended_command_runs(tiny_gpt2: Path, tmp_path: Path) -> None:
    """On this machine, to a whole dataset."""
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    options = ("--prompts", "p.txt", "--max-new-tokens", 4, "--json")
    # The CPU, also where there are GPUs: a float32 run that all machines can do.
    value = json.loads(fit(tiny_gpt2, *options, cwd=tmp_path, CUDA_VISIBLE_DEVICES="", PATH=str(tmp_path)).stdout)
    assert value["recommended"]["gpu"] == "CPU"
    words = shlex.split(value["command"])
    done = _luigi(words, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("data/runs/*/dataset.json"))
    again = json.loads(fit(tiny_gpt2, *options, cwd=tmp_path, CUDA_VISIBLE_DEVICES="", PATH=str(tmp_path)).stdout)
    assert again["time"]["speed"]["tokens_per_second"] > 0
    assert "measured when the run" in again["time"]["speed"]["source"]


def test_the_recommended_submission_is_one_that_slurm_would_get(tiny_gpt2: Path, tmp_path: Path) -> None:
    """Its scripts are written with the GPUs, the partition and the walltime."""
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    options = ("--gpu", "T4:6", "--partition", "small", "--time", "2:00:00", "--prompts", "p.txt", "--json")
    words = shlex.split(json.loads(fit(tiny_gpt2, *options, cwd=tmp_path).stdout)["command"])
    assert words[3] == "SubmitDataset"
    for name, text in (("scontrol", "echo MaxArraySize = 1001"), ("sacctmgr", "exit 1"), ("sbatch", "true")):
        fake(tmp_path, name, text)
    done = _luigi([*words, "--dry-run"], tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    for line in ("--partition=small", "--gres=gpu:1", "--time=2:00:00"):
        assert f"#SBATCH {line}" in done.stderr + done.stdout


def _luigi(words: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    assert words[0] == "luigi"
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **variables}
    return run_command([sys.executable, "-m", *words], cwd=cwd, env=env, timeout=300)
