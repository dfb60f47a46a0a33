"""The command that makes a dataset again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from promptmill.columns import FLAT
from promptmill.model import kind_of, public_name, published_model
from promptmill.prompts import default_prompts_path
from promptmill.run import Identity
from promptmill.settings import RunSettings


def command(settings: RunSettings, identity: Identity, prompts_source: str | None, layout: str | None) -> str:
    """The command line, with the commit that `revision` stood for.

    Args:
        layout: of the columns; see `promptmill.columns`.
    """
    sampling = settings.sampling
    kind = kind_of(settings.model) if settings.loads_model else "served"
    options: dict[str, object] = {
        "model": f"./{public_name(settings.model)}" if kind == "local" else published_model(settings),
        "revision": identity.revision if kind == "hub" else None,
        "prompts": prompts_source,
        "prompt-column": settings.prompt_column,
        "file-column": settings.file_column,
        "template": settings.template,
        "system-prompt": settings.system_prompt,
        "chat-template": _template_option(settings.chat_template),
        "limit": settings.limit,
        "samples-per-prompt": settings.samples_per_prompt,
        "max-new-tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top-p": sampling.top_p,
        "top-k": sampling.top_k,
        "min-p": sampling.min_p,
        "repetition-penalty": sampling.repetition_penalty,
        "stop": stop_text(sampling.stop),
        "seed": settings.seed,
        "dtype": identity.dtype,
        "quantization": identity.quantization,
        "engine": settings.engine,
        "endpoint-api": settings.endpoint_api,
        "endpoint-url": None if settings.loads_model else "URL",
        "columns": None if layout == FLAT else layout,
    }
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    switches = {
        "drop-last-answer": settings.drop_last_answer,
        "prompt-per-file": settings.prompt_per_file,
        "keep-special-tokens": settings.keep_special_tokens,
        "split-special-tokens": settings.split_special_tokens,
        "trust-remote-code": settings.trust_remote_code,
    }
    given += [f"--{name}" for name, on in switches.items() if on]
    return " \\\n    ".join(["luigi --module workflows BuildDataset", *given, "--local-scheduler"])


def stop_text(stop: tuple[str, ...]) -> str | None:
    """The stop strings as the command line takes them; None if there are none."""
    return json.dumps(list(stop), ensure_ascii=False) if stop else None


def public_source(source: str) -> str | None:
    """Where the prompts came from, without paths of this machine; None for those of promptmill."""
    if Path(source) == default_prompts_path():
        return None
    return Path(source).name if Path(source).is_absolute() else source


def _template_option(chosen: str | None) -> str | None:
    """A template of the user's own is in the settings as its text, which is no value to type."""
    return "@chat_template.jinja" if chosen is not None and chosen.startswith("@") else chosen
