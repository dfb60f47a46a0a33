"""What a dataset was made with, as a table of names and values."""

from __future__ import annotations

from promptmill.card.command import stop_text
from promptmill.demo import DEMO_ORIGIN
from promptmill.model import kind_of, public_name, recorded_model
from promptmill.plan import PromptsManifest
from promptmill.run import Identity, RunFolder


def made_with(run: RunFolder, identity: Identity, manifest: PromptsManifest, source: str | None) -> dict[str, str]:
    """Every setting that changes the rows, and what it stood for.

    Args:
        source: where the prompts came from; None for those of promptmill.
    """
    settings = run.settings
    sampling = settings.sampling
    pinned = recorded_model(run.model)
    return {
        "generator": "promptmill",
        "model": DEMO_ORIGIN if kind_of(settings.model) == "demo" else public_name(settings.model),
        "licence of the model": (pinned.license if pinned else None) or "not stated",
        "revision": identity.revision,
        **({"code of the model": "run, as of that revision"} if settings.trust_remote_code else {}),
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
        "min_p": str(sampling.min_p),
        "repetition_penalty": str(sampling.repetition_penalty),
        "max_new_tokens": str(sampling.max_new_tokens),
        "stop": stop_text(sampling.stop) or "none",
        "seed": str(settings.seed),
        "fingerprint": identity.fingerprint,
    }
