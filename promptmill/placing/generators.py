"""Whether an architecture goes on writing a text, told from its configuration before its weights are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError

_RATES = re.compile(
    r"For(SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|Reward)|RewardModel"
)
_OTHERS = "Choose a model whose config.json names an architecture that ends with ForCausalLM or LMHeadModel"
_SERVER = "let a server that has this one generate (--engine endpoint)"


def require_generator(config: Any, folder: str | Path) -> None:
    """See that a model writes text: decoders do, and of vision-language models the part that is one.

    Args:
        config: as transformers reads it.

    Raises:
        EngineError: it is an encoder, an encoder-decoder, a classifier, or no language model at all.
    """
    name = architecture(config)
    if getattr(config, "is_encoder_decoder", False):
        raise EngineError(
            f"The model in {folder} is {name}, an encoder-decoder. promptmill runs decoders alone. {_OTHERS}, or "
            f"{_SERVER}."
        )
    if _RATES.search(name):
        raise EngineError(
            f"The model in {folder} is {name}, which rates texts and has no output layer to write one with. {_OTHERS}."
        )
    if _is_encoder(config):
        raise EngineError(
            f"The model in {folder} is {name}, an encoder: it reads a whole text at once and does not go on writing "
            f"it. {_OTHERS}."
        )
    if auto_class(config) is None:
        raise EngineError(f"The model in {folder} is {name}, which is no language model. {_OTHERS}.")


def architecture(config: Any) -> str:
    """The class that a configuration names, or its model type."""
    named = getattr(config, "architectures", None) or [f"a model of type {config.model_type}"]
    return str(named[0])


def auto_class(config: Any) -> Any:
    """The class of transformers that makes and loads the model; None if none of those that write text does."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        return AutoModelForCausalLM
    classes = (AutoModelForCausalLM, AutoModelForImageTextToText)
    return next((one for one in classes if type(config) in one._model_mapping), None)


def _is_encoder(config: Any) -> bool:
    """Whether each token sees those after it: model types that come as both say so with `is_decoder`."""
    from transformers import AutoModelForMaskedLM

    if type(config) not in AutoModelForMaskedLM._model_mapping:
        return False
    return not getattr(config, "is_decoder", False) and not getattr(config, "causal", False)
