"""Python and the packages: what promptmill asks for, and the set that its tests ran on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from promptmill.doctor.values import Finding
from promptmill.vllm.installed import TRIED, InstalledVllm, installed_vllm

TESTED = "tested.txt"
"""Lines of constraints.txt, for the packages that promptmill itself asks for; a test keeps the two equal."""
PYTHON_TESTED = "3.11"


def check_python() -> list[Finding]:
    """Whether this Python is new enough."""
    here = platform.python_version()
    wanted = str(distribution("promptmill").metadata["Requires-Python"])
    if not SpecifierSet(wanted).contains(here, prereleases=True):
        do = f"Make the virtual environment anew with a Python {wanted} (on a cluster: module load python)."
        return [Finding("Python", "fail", f"{here}, and promptmill needs {wanted}", do)]
    return [Finding("Python", "pass", f"{here} in {sys.prefix} (tested with {PYTHON_TESTED})")]


def check_packages() -> list[Finding]:
    """Whether every package is there, in a version that promptmill can use, and in the one that was tested.

    Beside vLLM it is vLLM that chooses the versions of much, and has to be in one that was tried.
    """
    required, tested, vllm = _required(), tested_versions(), installed_vllm()
    if vllm is not None:
        tested = {name: known for name, known in tested.items() if canonicalize_name(name) not in vllm.chooses}
    found = [judged(required, {one.name: _installed(one.name) for one in required}, tested)]
    return found if vllm is None else [*found, judged_vllm(vllm)]


def judged_vllm(vllm: InstalledVllm) -> Finding:
    """The finding on a version of vLLM."""
    if TRIED.contains(vllm.version, prereleases=True):
        return Finding("vLLM", "pass", f"{vllm.version}; it chooses its own torch and transformers")
    says = f"{vllm.version}, and --engine vllm was tried with {TRIED}"
    return Finding("vLLM", "warn", says, f"pip install '{vllm.name}{TRIED}' in an environment of its own")


def judged(required: Iterable[Requirement], installed: Mapping[str, str | None], tested: Mapping[str, str]) -> Finding:
    """The finding on these installed versions, which are None for a package that is missing."""
    wrong, other, right = {}, {}, 0
    for requirement in required:
        here = installed[requirement.name]
        known = tested.get(requirement.name, here)
        if here is None or not requirement.specifier.contains(here, prereleases=True):
            wrong[requirement.name] = f"{requirement.name} {here or 'is missing'} (needs {requirement.specifier})"
        elif Version(here).public != known:
            other[requirement.name] = f"{requirement.name} {here} (tested: {known})"
        else:
            right += 1
    if not wrong and not other:
        return Finding("packages", "pass", f"all {right} are the versions that were tested")
    names = [f"'{name}=={tested[name]}'" if name in tested else name for name in {**wrong, **other}]
    says = ", ".join([*wrong.values(), *other.values()])
    return Finding("packages", "fail" if wrong else "warn", says, f"pip install {' '.join(names)}")


def tested_versions() -> dict[str, str]:
    """Name → version of the packages that the tests ran on."""
    lines = (files("promptmill.doctor") / TESTED).read_text(encoding="utf-8").splitlines()
    return {name: known for name, _, known in (line.partition("==") for line in lines) if known}


def _required() -> list[Requirement]:
    """What promptmill itself asks for, without what its extras do."""
    found = map(Requirement, distribution("promptmill").requires or [])
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
