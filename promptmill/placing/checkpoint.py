"""What a model's folder holds: plain weights, weights that come quantised, or a GGUF file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from promptmill.adapters import WEIGHTS, tokenizer_folder
from promptmill.errors import ConfigurationError, EngineError
from promptmill.model import PinnedModel
from promptmill.placing.headers import stored_tensors, tensors_in, weight_files
from promptmill.placing.remote_code import require_own_code

PLAIN = "none"
_BACKENDS = {
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel",),
    "bitsandbytes": ("bitsandbytes",),
    "gguf": ("gguf",),
    "compressed-tensors": ("compressed_tensors",),
    "hqq": ("hqq",),
    "quanto": ("optimum.quanto",),
    "torchao": ("torchao",),
    "eetq": ("kernels",),
    "aqlm": ("aqlm",),
    "auto-round": ("auto_round",),
}
_INSTALL = {"optimum.quanto": "optimum-quanto", "compressed_tensors": "compressed-tensors", "auto_round": "auto-round"}


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder.

    Attributes:
        quantization: `none`, or what the weights come as: `gptq-4bit`, `bitsandbytes-8bit`, `gguf`, ...
        method: the first part of it, as config.json names it; None for plain weights.
        stored_bytes: of all tensors in the files, 0 for a folder with a config alone.
        gguf: the name of the GGUF file, where there are no safetensors.
        remote_code: whether Python code in the folder is run.
        adapter: the folder of an adapter that is put onto the model.
    """

    folder: Path
    config: dict[str, Any]
    quantization: str
    method: str | None
    stored_bytes: int
    gguf: str | None = None
    remote_code: bool = False
    adapter: Path | None = None

    @property
    def tokenizer(self) -> str:
        """The folder of the tokenizer."""
        return str(self.folder if self.adapter is None else tokenizer_folder(self.adapter, self.folder))

    @property
    def adapter_bytes(self) -> int:
        """Of an adapter's values, which are computed in float32."""
        if self.adapter is None:
            return 0
        return sum(4 * math.prod(tensor.shape) for tensor in tensors_in(self.adapter / WEIGHTS))

    @property
    def is_quantised(self) -> bool:
        """Whether the weights come quantised, and stay so when they are loaded."""
        return self.method is not None and self.method != "gguf"

    def require_backend(self) -> None:
        """See that the packages are there that such weights need.

        Raises:
            EngineError: says what to install.
        """
        if self.method is None:
            return
        missing = [name for name in _BACKENDS.get(self.method, ()) if not _is_installed(name)]
        if missing:
            raise EngineError(
                f"The weights in {self.folder} come as {self.quantization}, which needs {' and '.join(missing)}. "
                f"Run `pip install {' '.join(_INSTALL.get(name, name) for name in missing)}`, "
                "or choose a checkpoint of the model that is not quantised."
            )

    def require_not_again(self, wanted: str) -> None:
        """Refuse to quantise weights that come quantised.

        Raises:
            ConfigurationError: `wanted` is another quantization than the weights have.
        """
        if self.method is None or wanted in ("none", "auto"):
            return
        if self.is_quantised and self.quantization == f"bitsandbytes-{wanted}":
            return
        raise ConfigurationError(
            f"--quantization is {wanted}, but the weights in {self.folder} come as {self.quantization} already. "
            "Leave --quantization out to load them as what they are, or choose a checkpoint that is not quantised."
        )


def inspect_model(pinned: PinnedModel, *, remote_code: bool = False) -> Checkpoint:
    """Look at a model that is on disk, as `inspect_checkpoint`; of an adapter, at the base model.

    Raises:
        As `inspect_checkpoint`.
    """
    if pinned.base is None:
        return inspect_checkpoint(pinned.folder, remote_code=remote_code)
    if remote_code:
        require_own_code(Path(pinned.folder))
    return replace(inspect_checkpoint(pinned.base.folder, remote_code=remote_code), adapter=Path(pinned.folder))


def inspect_checkpoint(folder: str | Path, *, remote_code: bool = False) -> Checkpoint:
    """Look at a model's config and at the headers of its files; loads nothing.

    Raises:
        ConfigurationError: its code may be run, and a part of it lies in another repository.
        EngineError: there are no weights that can be loaded, or a file is damaged.
    """
    path = Path(folder)
    config = _config(path)
    if remote_code:
        require_own_code(path)
    if weight_files(path):
        method, name = stored_quantization(config)
        size = sum(tensor.nbytes for tensor in stored_tensors(path))
        return Checkpoint(path, config, name, method, size, remote_code=remote_code)
    ggufs = sorted(file.name for file in path.glob("*.gguf"))
    if len(ggufs) == 1:
        return Checkpoint(path, config, "gguf", "gguf", (path / ggufs[0]).stat().st_size, ggufs[0], remote_code)
    raise EngineError(_no_weights(path, ggufs))


def _no_weights(path: Path, ggufs: list[str]) -> str:
    if ggufs:
        return f"{path} holds {len(ggufs)} GGUF files ({', '.join(ggufs[:4])}); keep the one that you want in a folder."
    pickles = sorted(file.name for file in (*path.glob("*.bin"), *path.glob("*.pt")))
    if pickles:
        return (
            f"{path} holds its weights as {pickles[0]}, a pickle, which can run code when it is loaded. "
            "Choose a revision with safetensors (see the model's pull requests on the Hub), or convert it with "
            "`AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)` if you trust it."
        )
    return f"{path} holds no weights: neither model.safetensors nor an index of several nor a .gguf file."


def _config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_bytes())
    except FileNotFoundError:
        return {}  # a GGUF file has its config inside
    except ValueError as error:
        raise EngineError(f"{path / 'config.json'} is damaged. Delete it, and start BuildDataset again.") from error
    return config


def stored_quantization(config: dict[str, Any]) -> tuple[str | None, str]:
    """Method and full name of the quantization that a config names; None and `none` for plain weights."""
    stored = config.get("quantization_config")
    if not isinstance(stored, dict):
        return None, PLAIN
    if stored.get("load_in_4bit") or stored.get("load_in_8bit"):
        return "bitsandbytes", "bitsandbytes-4bit" if stored.get("load_in_4bit") else "bitsandbytes-8bit"
    method = str(stored.get("quant_method", "unknown"))
    bits = stored.get("bits", stored.get("w_bit"))
    return method, f"{method}-{bits}bit" if isinstance(bits, int) else method


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False
