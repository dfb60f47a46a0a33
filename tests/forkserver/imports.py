"""What the servers import, and which variables of the environment those imports look at."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

LIBRARIES = (
    "altair", "jinja2", "luigi", "luigi.retcodes", "luigi.rpc", "luigi.server", "numba", "numpy", "pandas",
    "pyarrow.dataset", "pyarrow.parquet", "regex", "rich.console", "safetensors.torch", "tokenizers", "torch",
    "typer", "yaml",
)  # fmt: skip
"""Those that look at no variable that differs between tests. Not `luigi.cmdline`: it looks at `sys.argv`."""

HUGGING_FACE = (
    "accelerate", "datasets", "gguf", "huggingface_hub.hf_api", "transformers",
    "transformers.generation.continuous_batching", "transformers.integrations.gguf.reader",
    "transformers.modeling_utils", "transformers.models.gpt2.modeling_gpt2", "transformers.models.llama.modeling_llama",
    "transformers.models.auto", "transformers.quantizers.auto",
)  # fmt: skip
"""Those that read the HF_ variables while they are imported."""

_FREE = (
    "PWD",
    "OLDPWD",
    "PATH",
    "PYTEST_CURRENT_TEST",
    "CUDA_VISIBLE_DEVICES",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "NO_PROXY",
    "TERM",
)
_FREE_PREFIXES = ("SLURM_", "PROMPTMILL_")


def import_libraries() -> None:
    """Import what looks at no variable of the environment that differs between tests."""
    for name in LIBRARIES:
        importlib.import_module(name)


def import_all() -> None:
    """Import the rest, and the whole core; `tasks` and `workflows` are for the command, as Luigi registers them."""
    for name in HUGGING_FACE:
        importlib.import_module(name)
    import promptmill

    for module in pkgutil.walk_packages(promptmill.__path__, "promptmill."):
        if "vllm" not in module.name:
            importlib.import_module(module.name)


def different(ours: Mapping[str, str], theirs: Mapping[str, str]) -> set[str]:
    """The variables that make a difference to imports and have another value in the other environment."""
    names = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
    return {name for name in names if name not in _FREE and not name.startswith(_FREE_PREFIXES)}
