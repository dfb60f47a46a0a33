"""Every command line of the documents is one that the program takes, whether it is run or not."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from luigi.cmdline_parser import CmdlineParser
from typer.core import TyperGroup

import workflows  # noqa: F401 - its tasks are what the command lines name
from promptmill.cli import app
from tests.docs.commands import blocks_of
from tests.docs.test_commands import DOCUMENTS, name_of

ENDS = frozenset({"|", "||", "&&", ";", "&", ">", ">>", "<", "2>"})
OURS = ("luigi", "promptmill")


def command_lines(document: Path) -> Iterator[list[str]]:
    """The words of each command of ours in a document, without what a shell does with them."""
    for block in blocks_of(document):
        lines = block.text.replace("\\\n", " ").splitlines()
        for at, line in enumerate(lines):
            if not re.search(rf"\b({'|'.join(OURS)}) ", line):
                continue
            words = _words(lines[at:])
            for place, word in enumerate(words):
                if word in OURS and (place == 0 or words[place - 1] in {*ENDS, "srun"}):
                    yield _until_the_end(words[place:])


def _words(lines: list[str]) -> list[str]:
    """Those of the first line, and of the next ones as long as a quotation is open."""
    for end in range(1, len(lines) + 1):
        lexer = shlex.shlex("\n".join(lines[:end]), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        with contextlib.suppress(ValueError):
            return list(lexer)
    raise AssertionError(f"no end of {lines[0]}")


def _until_the_end(words: list[str]) -> list[str]:
    return words[: next((at for at, word in enumerate(words) if word in ENDS), len(words))]


WITH_OURS = [document for document in DOCUMENTS if list(command_lines(document))]


@pytest.mark.parametrize("document", WITH_OURS, ids=name_of)
def test_a_command_line_is_taken(document: Path) -> None:
    """By Luigi's parser with our tasks and parameters, or by that of `promptmill`."""
    for words in command_lines(document):
        _parse(words)


@pytest.mark.parametrize(
    "words",
    [
        "luigi --module workflows BuildDataset --no-such 1",
        "luigi --module workflows BuildDataset --limit many",
        "luigi --module workflows NoSuchTask",
        "promptmill status --no-such",
        "promptmill no-such",
    ],
)
def test_an_unknown_word_is_seen(words: str) -> None:
    """So that the test above can fail."""
    with pytest.raises((SystemExit, Exception), match=r"^2$|^78$|NoSuchTask|no-such"):
        _parse(words.split())


def _parse(words: list[str]) -> None:
    if words[0] == "luigi":
        with CmdlineParser.global_instance(words[1:]) as parser:
            parser.get_task_obj()
        return
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    name, command, rest = group.resolve_command(typer.Context(group), words[1:])
    assert command is not None
    command.make_context(name, rest)
