"""Which luigi.cfg is used, without importing Luigi; a test holds this against Luigi itself."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from promptmill.doctor.values import Finding

PLACES = ("/etc/luigi/client.cfg", "/etc/luigi/luigi.cfg", "client.cfg", "luigi.cfg")
"""In Luigi's order: a later one wins over an earlier one. `client.cfg` is the name that it had long ago."""
PATH, PARSER = "LUIGI_CONFIG_PATH", "LUIGI_CONFIG_PARSER"
_OURS = ("BuildDataset", "SubmitDataset", "PrepareModel")


def check_luigi_config() -> list[Finding]:
    """The files that Luigi reads when it is started in this folder."""
    if os.environ.get(PARSER, "cfg") != "cfg":
        says = f"{PARSER}={os.environ[PARSER]}: Luigi reads luigi.toml instead of luigi.cfg"
        return [Finding("luigi.cfg", "warn", says, f"Unset {PARSER} to have luigi.cfg read.")]
    named = os.environ.get(PATH)
    if named is not None and not Path(named).is_file():
        do = f"Correct {PATH}, or unset it."
        return [Finding("luigi.cfg", "warn", f"{PATH} names {named}, and there is no such file", do)]
    return [_used(config_files(os.environ))]


def config_files(environment: Mapping[str, str]) -> list[Path]:
    """The files that are there, the one that wins last."""
    places = [*PLACES, *([environment[PATH]] if environment.get(PATH) else [])]
    return [Path(place).absolute() for place in places if Path(place).is_file()]


def _used(paths: list[Path]) -> Finding:
    if not paths:
        return Finding("luigi.cfg", "pass", "none here, in /etc/luigi or by LUIGI_CONFIG_PATH; the defaults hold")
    parser = configparser.ConfigParser(interpolation=None)
    for path in paths:
        try:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            says = " ".join(str(error).split())
            return Finding("luigi.cfg", "fail", f"{path} cannot be read: {says}", "Correct it, or move it away.")
    old = [path.name for path in paths if path.name == "client.cfg"]
    says = f"{' and then '.join(map(str, paths))}; {_settings(parser)}"
    do = "Rename client.cfg to luigi.cfg: Luigi will stop reading the old name." if old else None
    return Finding("luigi.cfg", "warn" if old else "pass", says, do)


def _settings(parser: configparser.ConfigParser) -> str:
    ours = [f"{section}: {', '.join(parser[section])}" for section in _OURS if parser.has_section(section)]
    told = [text for text in ours if not text.endswith(": ")]
    return f"sets {'; '.join(told)}" if told else "sets no option of a run"
