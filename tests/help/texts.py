"""What is recorded: the text of `--help`, and below it of every option what that text leaves out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import luigi
import typer
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import ParameterVisibility
from luigi.task_register import Register

import workflows
from promptmill.cli import app

LUIGI = ("--module", "workflows")
ENVIRONMENT = {"COLUMNS": "100", "LINES": "50", "TERM": "dumb", "NO_COLOR": "1", "LANGUAGE": "C"}
"""A terminal without colour, of a hundred columns (Typer uses eighty of them)."""
UNSET = ("FORCE_COLOR", "PYTHON_COLORS", "CLICOLOR_FORCE", "_PROMPTMILL_COMPLETE")
COMMAND: Any = typer.main.get_command(app)


def texts() -> dict[str, str]:
    """File name → text, of every task and every command."""
    tasks = {f"luigi-{task.task_family}.txt": luigi_text(task) for task in runnable_tasks()}
    commands = {f"promptmill-{name}.txt": command_text(name) for name in COMMAND.commands}
    return {**tasks, "promptmill.txt": command_text(None), **commands}


def runnable_tasks() -> list[Any]:
    """The tasks of ours that one can run: those that are no base of others."""
    registered = [Register.get_task_cls(name) for name in Register.task_names()]
    ours = [task for task in registered if task.__module__.split(".")[0] in ("tasks", workflows.__name__)]
    bases = {base for task in ours for base in task.__mro__[1:]}
    return [task for task in ours if task not in bases]


def luigi_text(task: Any) -> str:
    """The help of a task, then a line a parameter."""
    words = [*LUIGI, task.task_family, "--help"]
    lines = (f"{name}: {parameter_facts(parameter)}" for name, parameter in task.get_params())
    return recorded(["luigi", *words], unbroken(luigi_says(words)), lines)


def command_text(name: str | None) -> str:
    """The help of a command, or of the program, then a line an option."""
    words, command = (["--help"], COMMAND) if name is None else ([name, "--help"], COMMAND.commands[name])
    lines = (f"{option.name}: {option_facts(command, option)}" for option in command.params)
    return recorded(["promptmill", *words], promptmill_says(words), lines)


def luigi_says(words: list[str]) -> str:
    """What `luigi` prints, told these words."""
    return said_by("luigi", lambda: CmdlineParser(words))


def promptmill_says(words: list[str]) -> str:
    """What `promptmill` prints, told these words."""
    return said_by("promptmill", lambda: COMMAND(words, prog_name="promptmill"))


def recorded(words: Iterable[str], said: str, lines: Iterable[str]) -> str:
    """The text of a file."""
    return "\n".join([f"$ {' '.join(words)}", said, "What each option is:", "", *lines, ""])


def unbroken(said: str) -> str:
    """The help with an option a line in the usage: Python's versions break those lines differently."""
    usage, blank, rest = said.partition("\n\n")
    return re.sub(r"\s+(?=\[)", "\n  ", re.sub(r"\s+", " ", usage)) + blank + rest


def parameter_facts(parameter: luigi.Parameter[Any]) -> str:
    """Type, default, significance and visibility of a parameter of Luigi."""
    needed = parameter._default is luigi.parameter._no_value
    return ", ".join(
        [
            getattr(parameter, "kind", type(parameter).__name__),
            "required" if needed else f"default {parameter._default!r}",
            "significant" if parameter.significant else "not significant",
            ParameterVisibility(parameter.visibility).name.lower(),
        ]
    )


def option_facts(command: Any, option: Any) -> str:
    """Names, default and choices of an option of Typer."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    choices = [item.value for item in option.shell_complete(context, "") if item.type == "plain"]
    default = str(option.default) if isinstance(option.default, Path) else option.default
    return ", ".join(
        [
            *(option.opts if option.param_type_name == "option" else ["argument"]),
            *option.secondary_opts,
            "required" if option.required else f"default {default!r}",
            *(["several times"] if option.multiple else []),
            *([f"one of {' '.join(choices)}"] if choices else []),
            *(["hidden"] if option.hidden else []),
        ]
    )


def said_by(program: str, call: Callable[[], object]) -> str:
    """What a call prints on a plain terminal, before it exits."""
    output = StringIO()
    with plain_terminal(), started_as(program), redirect_stdout(output), suppress(SystemExit):
        call()
    return output.getvalue()


@contextmanager
def started_as(program: str) -> Iterator[None]:
    """The name of the program, as parsers find it; of later versions of Python also where it was `python -m`."""
    with patch.object(sys, "argv", [program]), patch.object(sys.modules["__main__"], "__spec__", None):
        yield


@contextmanager
def plain_terminal() -> Iterator[None]:
    """The same terminal everywhere."""
    with patch.dict(os.environ, ENVIRONMENT):
        for name in UNSET:
            os.environ.pop(name, None)
        yield
