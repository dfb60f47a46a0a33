"""Luigi parameters whose errors name the option, the value and the choices."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import luigi
from luigi.configuration import LuigiConfigParser

from promptmill.errors import ConfigurationError
from promptmill.hub.patience import seconds_of
from tasks.process import ending_on_error

PATH = "a path whose ~ and $VARIABLES are known here"
_DAY = 86_400


class Setting(luigi.Parameter):
    """A parameter that is read by `convert`; an empty value is None where the default is None.

    Luigi itself turns a ValueError of `parse` into a traceback; here it becomes one sentence.

    Args:
        kind: what a value is, in words.
    """

    def __init__(self, convert: Callable[[str], Any] = str, *, kind: str = "text", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert = convert
        self.kind = kind

    def parse(self, value: Any) -> Any:
        """The value of a text from the command line or luigi.cfg."""
        if value in ("", "None") and self._default is None:
            return None
        # What luigi.toml has is typed already.
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        with ending_on_error():
            try:
                return self._convert(text)
            except ValueError as error:
                raise ConfigurationError(
                    f"{self._option}: {_cut(value)} is not {self.kind}. {self.description}"
                ) from error

    def serialize(self, value: Any) -> str:
        """The text that `parse` reads back."""
        if value is None:
            return ""
        return json.dumps(value) if isinstance(value, tuple) else str(value)

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        # Luigi warns whenever a value is no str; ours are converted on purpose.
        return

    @property
    def _option(self) -> str:
        return f"--{str(getattr(self, '_attribute_name', 'option')).replace('_', '-')}"


def integer(**kwargs: Any) -> Setting:
    """A whole number."""
    return Setting(int, kind="a whole number", **kwargs)


def number(**kwargs: Any) -> Setting:
    """A number."""
    return Setting(float, kind="a number", **kwargs)


def seconds(**kwargs: Any) -> Setting:
    """A number of seconds, a day at most."""
    return Setting(_seconds, kind=f"a number of seconds, 0 to {_DAY}", **kwargs)


def share(**kwargs: Any) -> Setting:
    """A part of a whole."""
    return Setting(_share, kind="a share from 0 to 1, as 0.5", **kwargs)


class Switch(luigi.BoolParameter):
    """A flag; luigi.cfg may say it in any of the words that configuration files have for it."""

    def parse(self, value: Any) -> bool:
        """The value of a word."""
        word = str(value).strip().lower()
        if word in LuigiConfigParser.BOOLEAN_STATES:
            return LuigiConfigParser.BOOLEAN_STATES[word]
        with ending_on_error():
            name = str(getattr(self, "_attribute_name", "option")).replace("_", "-")
            raise ConfigurationError(f"--{name}: {_cut(value)} is neither true nor false. {self.description}")


def switch(**kwargs: Any) -> Switch:
    """A flag that is off unless given."""
    return Switch(default=False, **kwargs)


def path(**kwargs: Any) -> Setting:
    """A path or a glob; `~` and `$VARIABLE` in it are expanded, as a shell does before a command sees them."""
    return Setting(expanded, kind=PATH, **kwargs)


def duration(**kwargs: Any) -> Setting:
    """A time with its unit, in seconds."""
    return Setting(seconds_of, kind="a time such as 12h, 30m or 90s", **kwargs)


def timeout(**kwargs: Any) -> Setting:
    """The same, or `none` (or 0), which is None."""
    return Setting(_timeout, kind="a time such as 15m or 1h, or none", **kwargs)


def strings(**kwargs: Any) -> Setting:
    """Several strings as a JSON list, or a single one as it is."""
    return Setting(_strings, kind="a text or a JSON list of texts", **kwargs)


def names(**kwargs: Any) -> Setting:
    """Several names as a JSON list, or separated by commas."""
    return Setting(_names, kind="names separated by commas, or a JSON list of texts", **kwargs)


def batch_size(**kwargs: Any) -> Setting:
    """A number of rows of 1 or more, or `auto`, which is None."""
    return Setting(_batch_size, kind="`auto` or a number of rows, 1 or more", **kwargs)


def expanded(text: str) -> str:
    """The path without `~` and `$VARIABLE`.

    Raises:
        ValueError: there is no such user or variable, and no file of that very name.
    """
    if os.path.exists(text):  # noqa: PTH110, as it answers for a NUL as well
        return text  # a folder that is really called `~`, which versions before this one made
    path = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111, as Path raises where there is no such user
    if path.startswith("~") or re.search(r"\$(\w+|\{\w+\})", path):
        raise ValueError(text)
    return path


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _DAY:
        raise ValueError(text)
    return value


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _strings(text: str) -> tuple[str, ...]:
    if not text.lstrip().startswith("["):
        return (text,)
    value = json.loads(text)
    if not all(isinstance(item, str) for item in value):
        raise ValueError(text)
    return tuple(value)


def _names(text: str) -> tuple[str, ...]:
    several = _strings(text) if text.lstrip().startswith("[") else tuple(text.split(","))
    return tuple(dict.fromkeys(name.strip() for name in several if name.strip()))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _timeout(text: str) -> float | None:
    return None if text.strip().lower() in ("", "none", "off") else seconds_of(text) or None


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    rows = int(text)
    if rows < 1:
        raise ValueError(text)
    return rows
