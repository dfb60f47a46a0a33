"""luigi.cfg, looked at before anything runs: what Luigi would pass over or fall over is refused in a sentence."""

from __future__ import annotations

import configparser
import difflib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import luigi
from luigi.configuration import LuigiConfigParser, get_config
from luigi.configuration.cfg_parser import InterpolationMissingEnvvarError
from luigi.task_register import Register

from promptmill.errors import ConfigurationError

_PARSER, _PATH = "LUIGI_CONFIG_PARSER", "LUIGI_CONFIG_PATH"
_ENDINGS = {"cfg": (".cfg", ".conf", ".ini"), "toml": (".toml",)}
_CLOSE = 0.8
Parameters = dict[str, dict[str, luigi.Parameter]]


def require_files_in_use() -> None:
    """Refuse to run with defaults where a file was meant to say otherwise.

    Raises:
        ConfigurationError: the environment names a file that is not there, or one that Luigi does not read.
    """
    kind = os.environ.get(_PARSER, "cfg")
    kind = "cfg" if kind in ("conf", "ini") else kind
    if kind not in _ENDINGS:
        raise ConfigurationError(f"{_PARSER} is {kind!r}; it has to be cfg or toml. `unset {_PARSER}` is cfg.")
    named = os.environ.get(_PATH)
    if named is not None:
        _require_readable(f"{_PATH} names {named!r}", Path(named), f"Correct it, or `unset {_PATH}`.")
        if Path(named).suffix not in ("", *_ENDINGS[kind]):
            raise ConfigurationError(
                f"{_PATH} names {named!r}, and Luigi reads {' and '.join(_ENDINGS[kind])} ({_PARSER} is {kind}). "
                f"Rename the file, or correct {_PARSER}."
            )
    mine, other = ("luigi.cfg", "luigi.toml") if kind == "cfg" else ("luigi.toml", "luigi.cfg")
    if os.path.lexists(mine):
        _require_readable(f"{mine} is in this folder", Path(mine), "Make it readable, or move it away.")
    elif Path(other).exists():
        raise ConfigurationError(
            f"{other} is in this folder, and Luigi reads {mine} here. Rename it, or "
            f"`export {_PARSER}={'toml' if kind == 'cfg' else 'cfg'}`."
        )


def require_known_settings(config: Any | None = None) -> None:
    """Refuse sections and keys of ours that nothing reads, and values that cannot be read.

    Args:
        config: one of Luigi's parsers; the one that it uses by default.

    Raises:
        ConfigurationError: says which, and what was probably meant.
    """
    config = config or get_config()
    known, ours = _known_parameters()
    for section, keys in _sections(config):
        if section not in known:
            _require_not_misspelt(section, ours)
            continue
        for key in keys:
            name = key.replace("-", "_")
            if section in ours and name not in known[section]:
                raise ConfigurationError(_unknown_key(section, key, known[section]))
            value = _read(config, section, key)
            if name in known[section]:
                _require_parses(known[section][name], value, section, key)


def _require_readable(what: str, path: Path, do: str) -> None:
    if not path.is_file():
        raise ConfigurationError(f"{what}, and {'it is no file' if path.exists() else 'there is no such file'}. {do}")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{what}, and you may not read it. {do}")


def _known_parameters() -> tuple[Parameters, set[str]]:
    """The parameters of each section that something reads, and which sections are ours."""
    known: Parameters = {}
    ours = set()
    for section, _, name, parameter in Register.get_all_params():
        is_ours = Register.get_task_cls(section).__module__.partition(".")[0] in ("tasks", "workflows")
        known.setdefault(section, {})[name] = parameter
        shared = parameter._config_path if is_ours else None
        if shared:
            known.setdefault(shared["section"], {})[shared["name"]] = parameter
        ours |= {section, shared["section"]} if shared else {section} if is_ours else set()
    return known, ours


def _sections(config: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(config, LuigiConfigParser):
        for section in config.sections():
            yield section, [key for key in config.options(section) if key not in config.defaults()]
    else:
        for section, keys in config.data.items():
            yield section, list(keys) if isinstance(keys, dict) else []


def _require_not_misspelt(section: str, ours: set[str]) -> None:
    by_lower = {name.lower(): name for name in ours}
    close = difflib.get_close_matches(section.lower(), list(by_lower), n=1, cutoff=_CLOSE)
    if close:
        raise ConfigurationError(
            f"The configuration has a section [{section}], which nothing reads. Did you mean [{by_lower[close[0]]}]?"
        )


def _unknown_key(section: str, key: str, known: dict[str, luigi.Parameter]) -> str:
    close = difflib.get_close_matches(key.lower().replace("-", "_"), list(known), n=1)
    tell = f"Did you mean {close[0]}?" if close else f"Its keys are {', '.join(sorted(known))}."
    return f"The configuration has {key} in the section [{section}], which nothing reads. {tell}"


def _read(config: Any, section: str, key: str) -> Any:
    where = f"The configuration has {key} in the section [{section}]"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return config.get(section, key)
    except InterpolationMissingEnvvarError as error:
        raise ConfigurationError(f"{where}, and a variable in it is not set. {error}") from error
    except configparser.InterpolationError as error:
        raise ConfigurationError(f"{where}, with a % that stands for another key. Write %% for a %.") from error


def _require_parses(parameter: luigi.Parameter, value: Any, section: str, key: str) -> None:
    try:
        parameter.parse(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"The configuration has {key} in the section [{section}], and {value!r} is no value for it ({error}). "
            f"Correct it. {parameter.description or ''}".rstrip()
        ) from error
