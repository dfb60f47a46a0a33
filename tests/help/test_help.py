"""The help says what was recorded, in the program itself as well; nothing of it changes unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import workflows
from tests.help.files import difference, read
from tests.help.texts import COMMAND, ENVIRONMENT, LUIGI, UNSET, luigi_says, promptmill_says, runnable_tasks, texts

OTHER_DEFAULTS = "[BuildDataset]\nmodel = gpt2\ntemperature = 0.1\n[core]\nlog_level = DEBUG\nworkers = 3\n"


def test_the_help_is_what_was_recorded() -> None:
    """Texts, names, order and defaults, of every task and every command."""
    if differing := difference(read(), texts()):
        pytest.fail(f"{differing}\n\nIf that is meant, record it: python -m tests.help", pytrace=False)


def test_the_program_prints_the_same(tmp_path: Path) -> None:
    """In processes of their own, by the installed scripts, where a luigi.cfg has other defaults."""
    (tmp_path / "luigi.cfg").write_text(OTHER_DEFAULTS)
    environment = {name: value for name, value in os.environ.items() if name not in UNSET} | ENVIRONMENT
    task, command = [*LUIGI, "BuildDataset", "--help"], ["chat", "--help"]
    by_luigi, by_promptmill = (
        subprocess.Popen(
            [Path(sys.executable).with_name(program), *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program, words in (("luigi", task), ("promptmill", command))
    )
    assert by_luigi.communicate(timeout=120)[0] == luigi_says(task)
    assert by_promptmill.communicate(timeout=120)[0] == promptmill_says(command)
    assert (by_luigi.returncode, by_promptmill.returncode) == (0, 0)


def test_every_task_that_is_exported_is_recorded() -> None:
    """And those that only other tasks name."""
    families = {task.task_family for task in runnable_tasks()}
    assert {*workflows.__all__, "OpenRun", "PublishSoFar"} == families


def test_every_option_is_explained() -> None:
    """By a sentence of its own."""
    parameters = [(task.task_family, *one) for task in runnable_tasks() for one in task.get_params()]
    assert [(family, name) for family, name, parameter in parameters if not parameter.description] == []
    options = [(name, option) for name, command in COMMAND.commands.items() for option in command.params]
    assert [(name, option.name) for name, option in options if not option.help] == []


def test_what_differs_is_shown() -> None:
    """A line that changed, a file that is new, one that is gone; and nothing where nothing differs."""
    before, now = {"same": "x", "changed": "a\nb\n", "gone": "y"}, {"same": "x", "changed": "a\nc\n", "new": "z"}
    shown = difference(before, now).splitlines()
    assert {"--- recorded/changed", "+++ now/changed", "-b", "+c", "-y", "+z"} <= set(shown)
    assert not {line for line in shown if "same" in line}
    assert difference(now, now) == ""
