"""What CONTRIBUTING asks of the tests, as far as their source tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("promptmill", "tasks", "workflows")
REACHING = {"setattr", "getattr", "delattr", "hasattr", "patch", "object", "multiple"}
"""Functions that take a name as text; the last two are `patch.object` and `patch.multiple`."""


def test_no_test_uses_a_private_name_of_the_package() -> None:
    """Neither patched nor read: constants and collaborators are handed in, so that a name may move."""
    private = private_names()
    assert "_parts" in private
    found = [
        (path.relative_to(ROOT).as_posix(), name, line)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        for line, name in uses(path.read_text(encoding="utf-8"), private)
    ]
    assert [f"{path}:{line} {name}" for path, name, line in found] == []


@pytest.mark.parametrize(
    "source",
    [
        "from promptmill.plan import _ROWS",
        "from promptmill.plan import _ROWS as rows",
        "from promptmill import plan\nplan._ROWS",
        "plan._ROWS = 3",
        "speaker.encoder._ROWS.clear()",
        "monkeypatch.setattr(plan, '_ROWS', 3)",
        "monkeypatch.setattr('promptmill.plan._ROWS', 3)",
        "with patch('tasks.stage._ROWS', 3): pass",
        "patch.object(plan, '_ROWS', 3)",
        "patch.multiple(plan, _ROWS=3)",
        "getattr(plan, '_ROWS')",
        "run('from promptmill.plan import MOST, _ROWS')",
        "run(f'import promptmill.plan as plan; plan._ROWS = {rows}')",
    ],
)
def test_each_way_to_a_private_name_is_found(source: str) -> None:
    """By import, attribute, text, and in the source of a process that the test starts."""
    assert {name for _, name in uses(source, {"_ROWS"})} == {"_ROWS"}


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos._ROWS(1)",
        "from transformers import models\nmodels.llama._ROWS",
        "self._ROWS.clear()",
        "monkeypatch.setattr(plan, 'ROWS', 3)",
        "from tests.fakes import _ROWS",
        "row['_ROWS'] == 'of promptmill'",
        "plan.__name__",
        "plan._OTHER",
    ],
)
def test_what_is_private_to_others_may_be_used(source: str) -> None:
    """Of libraries, of the tests themselves, and what the package has no name for."""
    assert list(uses(source, {"_ROWS"})) == []


def private_names() -> set[str]:
    """Every name with one leading underscore that the package gives to a function, a class, a value or an attribute."""
    sources = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {name for path in sources for name in bound(ast.parse(path.read_text(encoding="utf-8"))) if is_private(name)}


def bound(tree: ast.AST) -> Iterator[str]:
    """The names that a module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def uses(source: str, private: set[str]) -> Iterator[tuple[int, str]]:
    """Line and name of each use of a private name of the package in the source of a test."""
    tree = ast.parse(source)
    foreign = foreign_names(tree)
    for node in ast.walk(tree):
        for name in named_by(node, foreign):
            if is_private(name) and name in private:
                yield getattr(node, "lineno", 0), name


def named_by(node: ast.AST, foreign: set[str]) -> Iterator[str]:
    """The names that a part of a test's source takes from elsewhere."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Attribute) and first_name(node) not in foreign:
        yield node.attr
    elif isinstance(node, ast.Call) and called(node) in REACHING:
        yield from (keyword.arg for keyword in node.keywords if keyword.arg)
        yield from map(text_of, node.args)
    elif re.search(rf"\b({'|'.join(PACKAGES)})\b", text := text_of(node)):
        yield from re.findall(r"\b_\w+", text)


def foreign_names(tree: ast.AST) -> set[str]:
    """The names whose private attributes are not the package's: libraries, the object itself."""
    found = {"self", "cls"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names if not is_ours(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and not is_ours(str(node.module)):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def is_ours(module: str) -> bool:
    """Whether a module is the package's, or hands on what is."""
    return module.split(".")[0] in (*PACKAGES, "tests")


def is_private(name: str) -> bool:
    """Whether it begins with one underscore."""
    return re.match(r"_[^_]", name) is not None


def first_name(node: ast.AST) -> str:
    """`a` of `a.b().c[0].d`; nothing if it begins with something else."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else first_name(node.func)


def text_of(node: ast.AST) -> str:
    """The text of a literal, of an f-string without what it fills in; nothing of anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
