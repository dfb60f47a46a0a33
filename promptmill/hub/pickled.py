"""Pickled weights that the user trusts, turned into safetensors once, so that nothing else ever reads a pickle."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from promptmill.errors import EngineError
from promptmill.files import atomic_folder
from promptmill.hub.space import require_room
from promptmill.hub.weights import is_pickle

logger = logging.getLogger(__name__)


def without_pickles(folder: Path, files: tuple[str, ...], target: Path) -> tuple[Path, tuple[str, ...]]:
    """The model's folder and files as safetensors: `folder` itself if it has no pickles, else a copy in `target`.

    Raises:
        EngineError: a pickle holds more than tensors, and is not loaded.
        StorageError: there is no space for the copy.
    """
    pickles = [name for name in files if is_pickle(name)]
    if not pickles:
        return folder, files
    if not target.exists():
        size = sum((folder / name).stat().st_size for name in pickles)
        require_room(size, target, "the weights as safetensors")
        logger.info("Turning %d pickled files into safetensors: %s", len(pickles), target)
        with atomic_folder(target) as temporary:
            _convert([folder / name for name in pickles], temporary)
            for name in set(files) - set(pickles) - {"pytorch_model.bin.index.json"}:
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, temporary / name)
    there = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return target, tuple(there)


def _convert(pickles: list[Path], target: Path) -> None:
    import pickle

    import torch
    from huggingface_hub import save_torch_state_dict

    tensors: dict[str, torch.Tensor] = {}
    for path in pickles:
        try:
            # weights_only: tensors and plain containers alone; anything that could run code is refused.
            tensors.update(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise EngineError(
                f"{path.name} holds more than weights and is not loaded, since that could run code. "
                "Choose a revision with safetensors."
            ) from error
    save_torch_state_dict(tensors, target, safe_serialization=True)
