"""YAML that readers of every version take alike: PyYAML writes YAML 1.1, the Hub's pages read YAML 1.2."""

from __future__ import annotations

import re
from typing import Any

import yaml

# What YAML 1.2 (its core schema) takes for something else than text, and PyYAML does not, so that it writes it bare.
_NO_TEXT_IN_1_2 = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|"
    r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|true|True|TRUE|false|False|FALSE|null|Null|NULL|~"
)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that YAML 1.2 reads as numbers."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NO_TEXT_IN_1_2.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def yaml_text(value: dict[str, Any]) -> str:
    """A header's values as YAML, in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def texts_of(header: str) -> dict[str, Any] | None:
    """The values of a header, every scalar as it is written; None if it is no YAML mapping."""
    try:
        # Not by their types: `language: no` would be false, and a date no text.
        value = yaml.load(header, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return None
    return value if isinstance(value, dict) else None
