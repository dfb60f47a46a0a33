"""`promptmill chat` as people use it: at a terminal, and in a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from promptmill.prompts import PromptOptions, prepare_prompts
from tests.forkserver import run_command
from tests.hub import HubServer
from tests.terminal import CTRL_C, CTRL_D, Terminal

CHAT = [sys.executable, "-m", "promptmill.cli", "chat"]
BAD_ROWS, NOT_FOUND, ENGINE, SETTING = 65, 66, 70, 78


def chat(
    *options: object, cwd: Path, says: str | bytes = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a pipe."""
    return run_command(
        [*CHAT, *map(str, options)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=says.decode("utf-8", "surrogateescape") if isinstance(says, bytes) else says,
        errors="surrogateescape",
        timeout=240,
    )


@pytest.mark.demo
def test_a_chat_at_a_terminal(data_with_demo: Path, tmp_path: Path) -> None:
    """Streamed, stopped in the middle, taken back, saved, left; the demo model answers."""
    with Terminal([*CHAT, "demo", "--temperature", "0"], cwd=tmp_path) as terminal:
        terminal.wait_for("Ctrl-D leaves.")
        terminal.wait_for("> ")
        terminal.type("What is the capital of France?\r")
        terminal.wait_for("Paris")
        assert "tokens/s, the first after" in terminal.wait_for(" s\x1b[0m")
        terminal.wait_for("> ")
        terminal.type("Tell me a long story about a cat.\r")
        terminal.wait_for("Luna")
        assert "tokens/s" not in terminal.shown.rpartition("long story")[2]  # it is being streamed
        terminal.type(CTRL_C)
        terminal.wait_for("stopped")
        terminal.wait_for("> ")
        terminal.type("/undo\r")
        terminal.wait_for("Taken back: 'Tell me a long story about a cat.'")
        terminal.wait_for("> ")
        terminal.type("/save chat.jsonl\r")
        terminal.wait_for("1 prompt in chat.jsonl")
        terminal.wait_for("> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    (row,) = [json.loads(line) for line in (tmp_path / "chat.jsonl").read_text().splitlines()]
    assert row["messages"] == [{"role": "user", "content": "What is the capital of France?"}]
    assert "Paris" in row["completion"]


def test_ctrl_c_leaves_the_program_running(tiny_chat: Path, tmp_path: Path) -> None:
    """It stops an answer, whose part stays in the history; it drops a line that is typed; and nothing else."""
    with Terminal([*CHAT, str(tiny_chat), "--max-new-tokens", "3000"], cwd=tmp_path) as terminal:
        terminal.wait_for("> ")
        terminal.type("first\r")
        terminal.wait_for("first")
        terminal.wait_for_more(40)
        terminal.type(CTRL_C + CTRL_C)
        terminal.wait_for("stopped")
        terminal.wait_for("> ")
        terminal.type("half a line")
        terminal.wait_for("half a line")
        terminal.wait_until_it_waits()
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-D leaves.")
        terminal.wait_for("> ")
        terminal.type("/undo\r")
        terminal.wait_for("Taken back: 'first'")
        terminal.wait_for("> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    assert "Traceback" not in terminal.shown


def test_several_lines_are_pasted_as_one_prompt(tiny_chat: Path, tmp_path: Path) -> None:
    """As a terminal marks what is pasted; Tab completes commands."""
    pytest.importorskip("readline")
    with Terminal([*CHAT, str(tiny_chat), "--max-new-tokens", "4"], cwd=tmp_path) as terminal:
        terminal.wait_for("> ")
        terminal.type("\x1b[200~one\ntwo\x1b[201~\r")
        terminal.wait_for("tokens/s")
        terminal.wait_for("> ")
        terminal.type("/sav\t x.jsonl\r")
        terminal.wait_for("1 prompt in x.jsonl")
        terminal.wait_until_it_waits()  # readline loses what comes before
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    assert json.loads((tmp_path / "x.jsonl").read_text())["messages"][0]["content"] == "one\ntwo"


def test_without_colours_nothing_is_coloured(tiny_chat: Path, tmp_path: Path) -> None:
    """NO_COLOR is honoured, and every remark fits 80 columns."""
    with Terminal(
        [*CHAT, str(tiny_chat), "--max-new-tokens", "4"], cwd=tmp_path, env={"NO_COLOR": "1", "TERM": "dumb"}
    ) as terminal:
        terminal.wait_for("> ")
        terminal.type("/help\r")
        terminal.wait_for("> ")
        terminal.type("/nothing\r")
        terminal.wait_for("> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
    assert "\x1b[" not in terminal.shown.replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")
    assert max(map(len, terminal.text.splitlines())) <= 80


@pytest.mark.demo
def test_a_pipe_gets_answers_alone(data_with_demo: Path, tmp_path: Path) -> None:
    """One prompt a line in, answers out, with the history; the rest on standard error, in 80 columns."""
    done = chat(
        "demo",
        "--temperature",
        0,
        cwd=tmp_path,
        says="What is the capital of France?\n\nAnd of Italy?\n/save x.jsonl\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The capital of France is Paris.\nThe capital of Italy is Rome.\n"
    assert "tokens/s" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80
    prepared = prepare_prompts(PromptOptions(str(tmp_path / "x.jsonl")), tmp_path / "x.parquet")
    assert (prepared.rows, prepared.kind) == (2, "messages")


def test_special_tokens_are_shown_on_demand(tiny_chat: Path, tmp_path: Path) -> None:
    """Without the option one is told, once, that they are not."""
    shown, hidden = (
        chat(tiny_chat, *words, "--max-new-tokens", 3, cwd=tmp_path, says="good\ngood\n")
        for words in (["--keep-special-tokens"], [])
    )
    assert "</s>" in shown.stdout
    assert "special tokens" not in shown.stderr
    assert "</s>" not in hidden.stdout
    assert " ".join(hidden.stderr.split()).count("not shown: </s>. --keep-special-tokens shows them.") == 1


def test_the_same_seed_gives_the_same_answers(tiny_chat: Path, tmp_path: Path) -> None:
    """And another one others."""
    answers = [
        chat(tiny_chat, "--max-new-tokens", 12, "--seed", seed, cwd=tmp_path, says="a\nb\n").stdout
        for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_a_base_model_is_said_to_be_one(tiny_gpt2: Path, tmp_path: Path) -> None:
    """It goes on from text; a system message is refused with a way out."""
    done = chat(tiny_gpt2, "--max-new-tokens", 5, cwd=tmp_path, says="Once upon\n")
    assert done.returncode == 0, done.stderr
    assert "no chat template" in done.stderr
    assert done.stdout
    refused = chat(tiny_gpt2, "--system", "Be brief.", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (SETTING, "")
    assert "--system needs a chat model" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_full_context_is_told(short_chat: Path, tmp_path: Path) -> None:
    """The oldest turns go, and a prompt that is too long alone is refused while the others are answered."""
    done = chat(
        short_chat, "--max-new-tokens", 8, cwd=tmp_path, says=f"one\ntwo\nthree\nfour\nfive\n{'x' * 200}\nsix\n"
    )
    said = " ".join(done.stderr.split())
    assert "The context of 96 tokens is full: the oldest" in said
    assert "the model's context 96: no room is left" in said
    assert said.count("tokens/s") == 6
    assert done.returncode == ENGINE


@pytest.mark.parametrize("quantization", [pytest.param("8bit", marks=pytest.mark.long), "4bit"])
def test_quantised_weights_are_those_of_a_run(quantization: str, slow_gpt2: Path, tmp_path: Path) -> None:
    """Kept in the data folder where a run looks for them, and read from there the next time."""
    for _ in range(2):
        done = chat(
            slow_gpt2, "--quantization", quantization, "--data-dir", tmp_path / "d", "--max-new-tokens", 3,
            cwd=tmp_path, says="a\n",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"{quantization}, computing in float32" in " ".join(done.stderr.split())
        assert len(list((tmp_path / "d" / "models" / "quantized").glob(f"*-{quantization}-float32"))) == 1
    assert "Kept the quantised weights" not in done.stderr


def test_a_model_comes_from_the_hub(tiny_chat: Path, hub: HubServer, tmp_path: Path) -> None:
    """With the checks of a run; the second time from the disk, without the Hub."""
    hub.add_model("lab/tiny", tiny_chat)
    hub.add_model("lab/gated", tiny_chat, gated="manual")
    env = hub.environment(tmp_path / "home", xet=False)
    done = chat("lab/tiny", "--max-new-tokens", 3, cwd=tmp_path, says="a\n", env=env)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "data" / "models").glob("lab--tiny@*.json")
    assert json.loads(record.read_text())["kind"] == "hub"
    again = chat("lab/tiny", "--max-new-tokens", 3, cwd=tmp_path, says="a\n", env={**env, "HF_HUB_OFFLINE": "1"})
    assert (again.returncode, again.stdout) == (0, done.stdout)
    gated = chat("lab/gated", cwd=tmp_path, env=env)
    assert (gated.returncode, "is gated" in gated.stderr) == (77, True)
    unknown = chat("lab/nothing", cwd=tmp_path, env=env)
    assert (unknown.returncode, "has no model lab/nothing" in unknown.stderr) == (NOT_FOUND, True)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["./nowhere"], NOT_FOUND, "no such folder"),
        (["demo", "--quantization", "3bit"], SETTING, "none, 8bit, 4bit, auto"),
        (["demo", "--dtype", "int8"], SETTING, "auto, float32, float16, bfloat16"),
        (["demo", "--temperature", "-1"], SETTING, "--temperature is -1"),
        (["demo", "--seed", "-1"], SETTING, "--seed is -1"),
        (["demo", "--offload", "moon"], SETTING, "--offload is 'moon'"),
        (["demo", "--stop", "[1]"], SETTING, "--stop"),
    ],
)
def test_what_is_wrong_is_one_sentence(options: list[str], code: int, says: str, tmp_path: Path) -> None:
    """With the choices, before anything is loaded."""
    done = chat(*options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_that_is_not_text_ends_the_pipe(tiny_chat: Path, tmp_path: Path) -> None:
    """What came before it was answered."""
    done = chat(tiny_chat, "--max-new-tokens", 24, cwd=tmp_path, says=b"good\nb\xe4d\n")
    assert done.returncode == BAD_ROWS
    assert done.stdout
    assert "Line 2 of the input is not UTF-8" in done.stderr


def test_an_unknown_command_in_a_pipe_ends_in_an_error(tiny_chat: Path, tmp_path: Path) -> None:
    """The lines after it are answered; two slashes begin a prompt."""
    done = chat(tiny_chat, "--max-new-tokens", 3, cwd=tmp_path, says="/nope\n//etc\n/save x.jsonl\n")
    assert done.returncode == SETTING
    assert "There is no command /nope" in done.stderr
    assert json.loads((tmp_path / "x.jsonl").read_text())["messages"][0]["content"] == "/etc"


def test_ctrl_c_ends_a_pipe(tiny_chat: Path, tmp_path: Path) -> None:
    """As it does any program that nobody types into."""
    process = subprocess.Popen(
        [*CHAT, str(tiny_chat), "--max-new-tokens", "4000"], cwd=tmp_path, encoding="utf-8", errors="replace",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("a\n")
    process.stdin.flush()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_help_has_an_example(tmp_path: Path) -> None:
    """As every help should."""
    assert "promptmill chat demo --system" in " ".join(chat("--help", cwd=tmp_path).stdout.split())
