"""The dataset card: README.md with the metadata that the Hub and `datasets` read.

It holds nothing that differs between two runs of the same settings (no times, no host names), so
that a run that was interrupted ends in the very bytes of one that was not.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from promptmill.demo import DEMO_ORIGIN
from promptmill.libraries import library_versions
from promptmill.model import kind_of, public_name
from promptmill.plan import PromptsManifest
from promptmill.prompts import default_prompts_path
from promptmill.run import Identity, RunFolder, recorded_identity, recorded_prompts_source
from promptmill.settings import RunSettings
from promptmill.shard import ShardCounts

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"


def card_text(run: RunFolder, manifest: PromptsManifest, counts: ShardCounts) -> str:
    """The whole card as Markdown with a YAML header."""
    settings, identity = run.settings, recorded_identity(run)
    source = _public_source(recorded_prompts_source(run))
    sections = (
        f"---\n{yaml.safe_dump(_metadata(counts.rows), sort_keys=False, allow_unicode=True)}---\n",
        f"# {run.path.name}\n\n{_summary(settings, identity, manifest, counts)}",
        f"## Load it\n\n{_loading()}",
        f"## How it was made\n\n{_table(_making(settings, identity, manifest, source))}",
        f"## Make it again\n\n```sh\n{command(settings, identity, source)}\n```",
        f"## Columns\n\n{_columns(manifest)}",
        f"## Libraries\n\n{_table(library_versions())}",
    )
    return "\n\n".join(section.rstrip("\n") for section in sections) + "\n"


def command(settings: RunSettings, identity: Identity, prompts_source: str | None) -> str:
    """The command that makes the dataset again, with the commit that `revision` stood for."""
    sampling, kind = settings.sampling, kind_of(settings.model)
    options: dict[str, object] = {
        "model": f"./{public_name(settings.model)}" if kind == "local" else settings.model,
        "revision": identity.revision if kind == "hub" else None,
        "prompts": prompts_source,
        "prompt-column": settings.prompt_column,
        "template": settings.template,
        "system-prompt": settings.system_prompt,
        "limit": settings.limit,
        "samples-per-prompt": settings.samples_per_prompt,
        "max-new-tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top-p": sampling.top_p,
        "top-k": sampling.top_k,
        "stop": _stop(sampling.stop),
        "seed": settings.seed,
        "dtype": identity.dtype,
        "quantization": identity.quantization,
        "engine": settings.engine,
    }
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    return " \\\n    ".join(["luigi --module workflows BuildDataset", *given, "--local-scheduler"])


def _metadata(rows: int) -> dict[str, Any]:
    size = next((name for limit, name in _SIZES if rows < limit), _LARGEST)
    metadata: dict[str, Any] = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
        "size_categories": [size],
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "promptmill"],
    }
    return metadata


def _summary(settings: RunSettings, identity: Identity, manifest: PromptsManifest, counts: ShardCounts) -> str:
    return (
        f"{counts.rows:,} completions of {manifest.prompts.rows:,} prompts by {_model(settings)} "
        f"(revision `{identity.revision}`), generated with promptmill.\n\n"
        + _table(
            {
                "rows": f"{counts.rows:,}",
                "ended by themselves (`stop`)": f"{counts.stop:,}",
                "cut at max_new_tokens or the context (`length`)": f"{counts.length:,}",
                "not generated (`error`)": f"{counts.error:,}",
                "prompt tokens": f"{counts.prompt_tokens:,}",
                "completion tokens": f"{counts.completion_tokens:,}",
            }
        )
    )


def _loading() -> str:
    return '```python\nfrom datasets import load_dataset\n\ndataset = load_dataset("PATH_OR_REPO", split="train")\n```'


def _making(settings: RunSettings, identity: Identity, manifest: PromptsManifest, source: str) -> dict[str, str]:
    sampling = settings.sampling
    return {
        "model": _model(settings),
        "revision": identity.revision,
        "dtype": identity.dtype,
        "quantization": identity.quantization,
        "engine": settings.engine,
        "prompts": source or "the default prompts of promptmill",
        "prompts digest": identity.prompts,
        "system prompt": settings.system_prompt or "none",
        "samples per prompt": str(manifest.samples),
        "temperature": "0 (greedy)" if sampling.greedy else str(sampling.temperature),
        "top_p": str(sampling.top_p),
        "top_k": str(sampling.top_k),
        "max_new_tokens": str(sampling.max_new_tokens),
        "stop": _stop(sampling.stop) or "none",
        "seed": str(settings.seed),
        "fingerprint": identity.fingerprint,
    }


def _columns(manifest: PromptsManifest) -> str:
    lines = {
        "prompt_id": "stable id of the prompt",
        "sample_index": "which of the samples of that prompt",
        manifest.prompts.kind: "what the model was given",
        "response": "the text generated alone",
        "finish_reason": "`stop`, `length` or `error`",
        "prompt_tokens": "tokens of the prompt, chat template included",
        "completion_tokens": "tokens generated",
        "seed": "the row's own seed",
        "model": "the model",
        "revision": "its commit",
        "error": "why a row could not be generated",
        **{column.name: "from the prompts" for column in manifest.prompts.columns},
    }
    return _table({f"`{name}`": meaning for name, meaning in lines.items()})


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items())])


def _cell(text: str) -> str:
    """Text that cannot leave its cell, and whose angle brackets the Hub does not take for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", "⏎")


def _stop(stop: tuple[str, ...]) -> str | None:
    return json.dumps(list(stop), ensure_ascii=False) if stop else None


def _model(settings: RunSettings) -> str:
    if kind_of(settings.model) == "demo":
        return f"`demo` ({DEMO_ORIGIN}, 4-bit GGUF weights de-quantized)"
    return f"`{public_name(settings.model)}`"


def _public_source(source: str) -> str | None:
    """Where the prompts came from, without paths of this machine; None for those of promptmill."""
    if Path(source) == default_prompts_path():
        return None
    return Path(source).name if Path(source).is_absolute() else source
