"""Python code that comes with a model: run only if the user says so, and only what the model's commit fixes."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptmill.errors import ConfigurationError, EngineError, PromptmillError

_FILES = ("config.json", "tokenizer_config.json")
_ELSEWHERE = "--"
"""How transformers writes code of another repository: `owner/name--file.Class`."""


def own_code(folder: Path) -> tuple[str, ...]:
    """What a model's configs name as code to load, as in `modeling.MyModel`."""
    maps = (_json(folder / name).get("auto_map") for name in _FILES)
    return tuple(sorted({name for found in maps for name in _strings(found)}))


def require_own_code(folder: Path) -> None:
    """See that all code lies beside the weights, so that the model's revision says which code it is.

    Raises:
        ConfigurationError: a part of it is in another repository, which may change at any time.
    """
    foreign = [name for name in own_code(folder) if _ELSEWHERE in name]
    if foreign:
        repo, _, module = foreign[0].partition(_ELSEWHERE)
        file = f"{module.partition('.')[0]}.py"
        raise ConfigurationError(
            f"The model in {folder} takes its code from another repository ({foreign[0]}), which no revision of the "
            f"model fixes. Download the model into a folder, put {file} of {repo} beside it, take '{repo}--' out of "
            "its config.json and tokenizer_config.json, and give --model that folder."
        )


@contextmanager
def running_code(folder: str | Path, allowed: bool) -> Iterator[None]:
    """Around loading: an error of the model's own code, or for want of it, says so.

    Raises:
        ConfigurationError: transformers wants to run the code, and it was not to be run.
        EngineError: the code failed, in whatever way.
    """
    try:
        yield
    except PromptmillError:
        raise
    except Exception as error:
        code = own_code(Path(folder))
        if _is_refusal(error):
            raise ConfigurationError(
                f"The model in {folder} does not load without the Python code that comes with it ({', '.join(code)}). "
                "Read that code: it runs with all your rights. If you trust it, give --trust-remote-code."
            ) from error
        if not (code and allowed):
            raise
        said = " ".join(str(error).split())[:400]
        raise EngineError(
            f"The Python code that comes with the model in {folder} fails: {type(error).__name__}: {said}"
        ) from error


def _is_refusal(error: BaseException) -> bool:
    """Whether it was raised where transformers asks for leave; its class, ValueError, says many things."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == "resolve_trust_remote_code" for frame, _ in frames)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
