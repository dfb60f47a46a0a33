"""Turns, orders and lines, without a model."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from promptmill.chat.conversation import Conversation
from promptmill.chat.interrupts import Interrupts
from promptmill.chat.lines import piped_lines
from promptmill.chat.orders import HELP, WORDS, Orders
from promptmill.chat.screen import Screen
from promptmill.chat.settings import stop_strings
from promptmill.errors import ConfigurationError, InvalidRows, PromptmillError, StorageError
from promptmill.prompts import PromptOptions, prepare_prompts, prepared_table


def talked(*, is_chat: bool = True) -> Conversation:
    """A conversation of two turns."""
    conversation = Conversation(is_chat=is_chat, system="Be brief." if is_chat else None, seed=0)
    for prompt, completion in (("What?", "That.\nAnd this: \N{SNOWMAN}"), ("Why?", "Because.")):
        conversation.add(prompt, completion, conversation.request(prompt).messages)
    return conversation


def read_back(path: Path) -> list[dict[str, object]]:
    """The rows as `--prompts` reads them."""
    prepared = prepare_prompts(PromptOptions(str(path)), path.with_suffix(".parquet"))
    rows = prepared_table(path.with_suffix(".parquet"), 0, prepared.rows).to_pylist()
    return [{name: value for name, value in row.items() if name != "prompt_id"} for row in rows]


def test_a_saved_chat_is_a_prompts_file(tmp_path: Path) -> None:
    """A row a prompt, with the messages that the model was given and its completion in a column."""
    path = tmp_path / "chat.jsonl"
    assert "2 prompts" in Orders(talked()).carry_out(f"/save {path}")
    first, second = read_back(path)
    system, asked = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}
    assert first == {"messages": [system, asked], "completion": "That.\nAnd this: \N{SNOWMAN}"}
    said = {"role": "assistant", "content": "That.\nAnd this: \N{SNOWMAN}"}
    assert second["messages"] == [system, asked, said, {"role": "user", "content": "Why?"}]


def test_prompts_of_a_base_model_are_saved_as_text(tmp_path: Path) -> None:
    """As such a model is given them."""
    path = tmp_path / "chat.jsonl"
    Orders(talked(is_chat=False)).carry_out(f"/save {path}")
    assert [row["prompt"] for row in read_back(path)] == ["What?", "Why?"]


def test_a_chat_may_be_saved_again_and_overwrites_nothing_else(tmp_path: Path) -> None:
    """The file of another is left alone."""
    conversation = talked()
    orders = Orders(conversation)
    path = tmp_path / "chat.jsonl"
    orders.carry_out(f"/save {path}")
    conversation.undo()
    orders.carry_out(f"/save {path}")
    assert len(path.read_text().splitlines()) == 1
    with pytest.raises(ConfigurationError, match="there already"):
        Orders(talked()).carry_out(f"/save {path}")
    assert json.loads(path.read_text())["messages"][1]["content"] == "What?"


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("/save", ConfigurationError, "/save chat.jsonl"),
        ("/save notes.txt", ConfigurationError, "notes.jsonl"),
        ("/save /proc/nothing/chat.jsonl", StorageError, "Cannot write"),
        ("/undoo", ConfigurationError, "Did you mean /undo?"),
        ("/etc/passwd", ConfigurationError, "no command /etc/passwd"),
        ("/reset now", ConfigurationError, "write /reset alone"),
    ],
)
def test_orders_that_cannot_be_carried_out_say_what_to_type(
    line: str, error: type[PromptmillError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And change nothing."""
    monkeypatch.chdir(tmp_path)
    conversation = talked()
    with pytest.raises(error, match=says.replace("?", r"\?")):
        Orders(conversation).carry_out(line)
    assert len(conversation.turns) == 2
    assert list(tmp_path.iterdir()) == []


def test_undo_and_reset_forget() -> None:
    """The last turn, or all; the system message stays."""
    conversation = talked()
    orders = Orders(conversation)
    assert "'Why?'" in orders.carry_out("/undo")
    assert [turn.prompt for turn in conversation.turns] == ["What?"]
    assert orders.carry_out("/reset") == "1 turn forgotten."
    assert (conversation.turns, conversation.system) == ([], "Be brief.")
    assert "nothing to take back" in orders.carry_out("/undo")


def test_the_system_message_is_set_shown_and_taken_away() -> None:
    """The turns so far stay."""
    conversation = talked()
    orders = Orders(conversation)
    assert "2 turns kept" in orders.carry_out("/system Speak like a pirate.")
    assert orders.carry_out("/system") == "The system message is: Speak like a pirate."
    request = conversation.request("x")
    assert request.messages is not None
    assert request.messages[0] == {"role": "system", "content": "Speak like a pirate."}
    orders.carry_out('/system ""')
    assert orders.carry_out("/system") == "No system message."
    with pytest.raises(ConfigurationError, match="no chat template"):
        Orders(talked(is_chat=False)).carry_out("/system x")


def test_help_names_every_command() -> None:
    """In lines of a terminal's width."""
    said = Orders(talked()).carry_out("/help")
    assert all(word in said for word in WORDS)
    assert len(said.splitlines()) == len(HELP)
    assert max(map(len, said.splitlines())) <= 80


def test_lines_of_a_pipe_are_prompts() -> None:
    """Blank ones are none, and what is not UTF-8 is named by its line."""
    lines = piped_lines(io.BytesIO(b"\xef\xbb\xbfone\r\n\n  \ntwo\nb\xe4d\n"), Interrupts())
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(InvalidRows, match=r"Line 5 .* byte 2"):
        next(lines)


def test_stop_strings_are_given_as_to_a_run() -> None:
    """Several times, or as its JSON list."""
    assert stop_strings(["a", "[b"]) == ("a", "[b")
    assert stop_strings(['["a", "b"]']) == ("a", "b")
    with pytest.raises(ConfigurationError, match="no JSON list"):
        stop_strings(["[1]"])


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_given_no_control_characters() -> None:
    """A model that says ESC moves no cursor; a pipe gets the bytes as they are."""
    terminal, pipe = _Tty(), io.StringIO()
    for stream in (terminal, pipe):
        Screen(stream, io.StringIO()).write("a\x1b[2Jb\tc\n\x07\x9b")
    assert terminal.getvalue() == "a\u241b[2Jb\tc\n\u2407\ufffd"
    assert pipe.getvalue() == "a\x1b[2Jb\tc\n\x07\x9b"
