"""What a dataset was made with, as a table of names and values."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from promptmill.card.command import stop_text
from promptmill.demo import DEMO_ORIGIN
from promptmill.endpoint.record import recorded_served
from promptmill.engine.generation_config import listed, read_generation_config, recommended
from promptmill.errors import EngineError
from promptmill.model import PinnedModel, kind_of, published_model, recorded_model
from promptmill.plan import PromptsManifest
from promptmill.run import Identity, RunFolder
from promptmill.sampling import SamplingParameters


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
        "model": DEMO_ORIGIN
        if settings.loads_model and kind_of(settings.model) == "demo"
        else published_model(settings),
        "licence of the model": (pinned.license if pinned else None) or "not stated",
        "revision": identity.revision or "not known",
        **({"code of the model": "run, as of that revision"} if settings.trust_remote_code else {}),
        "dtype": identity.dtype or "not known",
        "quantization": identity.quantization or "not known",
        "engine": settings.engine,
        **_served(run, identity),
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
        **_recommended(pinned, settings.sampling),
        "fingerprint": identity.fingerprint,
    }


def _recommended(pinned: PinnedModel | None, sampling: SamplingParameters) -> dict[str, str]:
    """What the model's own file recommends and the rows were not made with."""
    values: dict[str, Any] = {}
    if pinned is not None:
        with suppress(EngineError):  # it was read before the rows were made; a card fails for nothing that came since
            values = recommended(read_generation_config(pinned.weights.folder), sampling)
    return {"recommended by the model": f"{listed(values)} (not followed)"} if values else {}


def _served(run: RunFolder, identity: Identity) -> dict[str, str]:
    """What is to be said of a model that a server had."""
    if identity.served is None:
        return {}
    served = recorded_served(run)
    says = ", ".join(f"{name} {value}" for name, value in served.about.items())
    origin = served.origin
    return {
        "asked through": "chat completions" if served.api == "chat" else "completions",
        "the server says of the model": says or "nothing",
        **({"its answers say": ", ".join(f"{name} {told}" for name, told in origin.items())} if origin else {}),
        "seeds": served.seeds_in_words,
        "tokens": served.counts_in_words,
    }
