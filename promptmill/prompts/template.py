"""The user's Jinja2 template: a row's columns in, the text of a prompt out."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    meta,
    nodes,
    pass_environment,
)
from jinja2.filters import do_round, make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptmill.errors import ConfigurationError, NotFound
from promptmill.prompts.batches import Row
from promptmill.prompts.limits import TimeLimitError, memory_limit, time_limit
from promptmill.prompts.problems import TemplateFaultError, listed, nearest

LONGEST_PROMPT = 10_000_000
MOST_SECONDS = 10.0
MOST_MEMORY = 512_000_000
_LARGEST_NUMBER_BITS = 4096
_MOST_DIGITS = 300
_PLAIN = (
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Concat,
)
"""A template of nothing else takes no more than its row is long; the limits would cost more than rendering it."""
_ADDRESS = re.compile(r"<[^<>]{1,200} at 0x[0-9a-f]{6,}>")
_FAILURES = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


def template_text(template: str) -> str:
    """The template itself: what is given, or for `@path` what the file holds.

    Raises:
        NotFound: the file is not there, or is not text.
    """
    return _text_of(template[1:], "--template") if template.startswith("@") else template


def chat_template_text(chosen: str) -> str:
    """`--chat-template` as settings hold it: a name, or `@` and the text of the file.

    Raises:
        NotFound: the file is not there, or is not text.
    """
    return f"@{_text_of(chosen[1:], '--chat-template')}" if chosen.startswith("@") else chosen


def _text_of(name: str, option: str) -> str:
    path = Path(name)
    try:
        path = path.expanduser()
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device may have no end
            raise OSError("it is not a regular file")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:  # no such user, a NUL in the name, not UTF-8
        raise NotFound(
            f"The template file {path} cannot be read ({error}). Give {option} @FILE with one that is there."
        ) from error


class PromptTemplate:
    """A compiled template that cannot reach out of its row, run for ever or fill the memory.

    Raises:
        ConfigurationError: the text is not a Jinja2 template.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        environment = _environment()
        try:
            with time_limit(MOST_SECONDS), memory_limit(MOST_MEMORY):  # constants are worked out here
                parsed = environment.parse(text)
                names = meta.find_undeclared_variables(parsed)
                self._is_plain = all(isinstance(node, _PLAIN) for node in parsed.find_all(nodes.Node))
                self._template = environment.from_string(text)
            self._names = names - {"row"}
            self.names = None if "row" in names else frozenset(names)
            """The columns that it names; None if it has all of them, as `row`."""
        except (TimeLimitError, MemoryError, RecursionError) as error:
            raise ConfigurationError("--template is too much work to compile; make it simpler.") from error
        except TemplateSyntaxError as error:
            raise ConfigurationError(
                f"--template is not a Jinja2 template: line {error.lineno}: {error.message}. "
                "Write columns in double braces, as in --template 'Translate to German: {{ text }}'."
            ) from error

    def render(self, row: Row) -> str:
        """The text for one row, whose columns are variables, and all together `row`.

        Raises:
            BadRowError: the template cannot be rendered with this row.
        """
        try:
            if self._is_plain:
                return self._render(row)
            with time_limit(MOST_SECONDS), memory_limit(MOST_MEMORY):
                return self._render(row)
        except TimeLimitError as error:
            raise TemplateFaultError(f"takes more than {MOST_SECONDS:.0f} s for this row") from error
        except MemoryError as error:
            raise TemplateFaultError(f"needs more than {MOST_MEMORY // 1_000_000} MB for this row") from error
        except _MethodError as error:
            raise TemplateFaultError(self._spelled(str(error))) from error
        except UndefinedError as error:
            raise TemplateFaultError(self._undefined(error, row)) from error
        except _FAILURES as error:
            raise TemplateFaultError(f"fails: {str(error)[:200] or type(error).__name__}") from error

    def _render(self, row: Row) -> str:
        parts, length = [], 0
        for part in self._template.generate({"row": row, **row}):
            parts.append(part)
            length += len(part)
            if length > LONGEST_PROMPT:
                raise TemplateRuntimeError(f"it makes more than {LONGEST_PROMPT // 1_000_000} million characters")
        return self._require_text("".join(parts), row)

    def _require_text(self, text: str, row: Row) -> str:
        """The text, unless it has the address of an object in it that stands in neither template nor row."""
        if " at 0x" not in text:
            return text
        found = next((found[0] for found in _ADDRESS.finditer(text) if found[0] not in self._text), None)
        if found is not None and found not in str(list(row.values())):
            raise TemplateRuntimeError(
                f"it writes {found[:60]}, an object and not what is in it; add a filter such as | list or | join(', ')"
            )
        return text

    def _spelled(self, method: str) -> str:
        found = re.search(rf"[\w.]+\.{re.escape(method)}\b", self._text)
        written = found[0] if found else f"....{method}"
        return f"fails: {written} is a method and not a value; to call it, write {{{{ {written}() }}}}"

    def _undefined(self, error: UndefinedError, row: Row) -> str:
        hints = "".join(nearest(name, row) for name in sorted(self._names - row.keys()))
        return f"fails: {error.message}; the columns here are {listed(row)}.{hints}"


def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False, finalize=_not_null)
    del environment.filters["random"]  # prompts have to come out the same each time
    del environment.globals["lipsum"]
    environment.filters["round"] = _round
    environment.filters["sum"] = _sum
    return environment


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    """Jinja2's, which works out ten to the power of the precision in one step."""
    if abs(precision) > _MOST_DIGITS:
        raise TemplateRuntimeError(f"round() to more than {_MOST_DIGITS} digits")
    return do_round(value, precision, method)  # type: ignore[arg-type]


@pass_environment
def _sum(environment: Environment, values: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """Jinja2's, which adds up lists in one step; here the timer can end it between two."""
    for value in values if attribute is None else map(make_attrgetter(environment, attribute), values):
        start = start + value
    return start


def _not_null(value: Any) -> Any:
    if value is None:
        raise TemplateRuntimeError("a value is empty (null) here; write {{ column or '' }} if that is meant")
    if callable(value) and not isinstance(value, (_Method, Undefined)):
        name = getattr(value, "__name__", None) or getattr(value, "name", "this")
        raise TemplateRuntimeError(f"{name} is a function and not a value; to call it, write {{{{ {name}() }}}}")
    return value


class _MethodError(TemplateRuntimeError):
    """A method is written where a value was meant."""


class _Method:
    """A method or function of a value: it can be called, and has no text."""

    def __init__(self, method: Callable[..., Any], name: str) -> None:
        self._method = method
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._method(*args, **kwargs)

    def __str__(self) -> str:
        raise _MethodError(self._name)

    __repr__ = __str__

    def __format__(self, form: str) -> str:
        return str(self)


def _no_text(value: Any, name: str) -> Any:
    return _Method(value, name) if callable(value) and not isinstance(value, Undefined) else value


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, which also keeps numbers small: a huge power is one step that no timer interrupts."""

    intercepted_binops = frozenset(["*", "**"])

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What an object of the row has under a name, before any method; Jinja2 alone prefers the method."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return _no_text(super().getattr(obj, attribute), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Jinja2's, which goes on to look for a method."""
        return _no_text(super().getitem(obj, argument), str(argument))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Jinja2's judgement, without the one method that makes a number of any size."""
        return attr != "from_bytes" and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _LARGEST_NUMBER_BITS:
                raise TemplateRuntimeError(f"a number has more than {_LARGEST_NUMBER_BITS} bits")
        operation: Callable[[Any, Any], Any] = self.binop_table[operator]
        return operation(left, right)
