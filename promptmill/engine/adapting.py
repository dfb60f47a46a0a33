"""Putting an adapter onto its base model, so that the engine sees a model like any other."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from promptmill.adapters import WEIGHTS
from promptmill.errors import EngineError

_SHOWN = 4


def adapted(base: Any, folder: Path, *, merge: bool) -> Any:
    """The base model with the adapter in `folder`; of the same class as before.

    Args:
        base: loaded; it is changed.
        merge: whether the adapter is added to the weights, which then take no longer to compute than the base's.
            Quantised weights cannot hold what is added: their layers compute the adapter's part beside them.

    Raises:
        EngineError: the adapter does not fit the base.
    """
    from safetensors import SafetensorError

    try:
        wrapped, unused, missing = _wrapped(base, folder)
        if unused or missing:
            raise EngineError(_misfit(folder, base, unused, missing))
        model = wrapped.merge_and_unload(safe_merge=True) if merge else wrapped.get_base_model()
    except EngineError:
        raise
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, OSError, ImportError, SafetensorError) as e:
        said = " ".join(str(e).split())[:400]
        raise EngineError(f"The adapter in {folder} cannot be put onto {_name(base)}: {said}. {_CURE}") from e
    return model.eval()


_CURE = "Check base_model_name_or_path in its adapter_config.json, or copy the whole adapter again."


def _wrapped(base: Any, folder: Path) -> tuple[Any, list[str], list[str]]:
    """The model with the adapter's layers; tensors of the adapter without a place, and places without a tensor."""
    from peft import PeftConfig, PeftModel
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    with warnings.catch_warnings():
        # It warns of names that transformers will drop, and of keys of a newer peft; what matters is checked here.
        warnings.simplefilter("ignore")
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        _make_room(base, folder)
        wrapped = PeftModel(base, config)
        # Not its load_adapter, which spreads a model anew that a device map has put onto the CPU.
        result: Any = set_peft_model_state_dict(wrapped, load_peft_weights(str(folder), device="cpu"))
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    return wrapped, list(result.unexpected_keys), [name for name in result.missing_keys if prefix in name]


def _make_room(base: Any, folder: Path) -> None:
    """Give the base as many tokens as the adapter was trained with: some add tokens, and save the embeddings whole."""
    from safetensors import safe_open

    embeddings = base.get_input_embeddings()
    name = next(name for name, module in base.named_modules() if module is embeddings)
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        saved = [key for key in file.keys() if key.endswith(f"{name}.weight")]  # noqa: SIM118
        rows = file.get_slice(saved[0]).get_shape()[0] if saved else embeddings.weight.shape[0]
    if rows != embeddings.weight.shape[0]:
        base.resize_token_embeddings(rows, mean_resizing=False)


def _misfit(folder: Path, base: Any, unused: list[str], missing: list[str]) -> str:
    parts = [f"the model has no place for {_listed(unused)}"] if unused else []
    parts += [f"the adapter lacks {_listed(missing)}"] if missing else []
    return f"The adapter in {folder} does not fit {_name(base)}: {'; '.join(parts)}. {_CURE}"


def _name(base: Any) -> str:
    return f"its base model, a {type(base).__name__} from {base.config.name_or_path}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
