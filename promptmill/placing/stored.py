"""Quantised weights on disk: written once, so that a restart reads a quarter and quantises nothing.

    <data>/models/quantized/<commit>-<quantization>-<dtype>[-code]/     safetensors and config.json

All machines of a run load the same file, and with it the same bytes: a GPU and a CPU round a value
that lies between two steps differently now and then.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError
from promptmill.files import atomic_folder, remove_stale_temporaries, set_aside
from promptmill.placing.headers import stored_tensors

logger = logging.getLogger(__name__)

SHARD_SIZE = "2GB"
"""Bounds what is in host memory at a time while weights on a GPU are written."""


def stored_folder(models: Path, revision: str, quantization: str, dtype: str, *, remote_code: bool = False) -> Path:
    """Where the quantised weights of a commit lie below the data folder's `models`; apart if its own code made them."""
    return models / "quantized" / f"{revision}-{quantization}-{dtype}{'-code' if remote_code else ''}"


def is_stored(folder: Path) -> bool:
    """Whether whole quantised weights are there; damaged ones are set aside."""
    if not folder.is_dir():
        return False
    try:
        if any(True for _ in stored_tensors(folder)):
            return True
        reason = "it holds no weights"
    except EngineError as error:
        reason = str(error)
    logger.warning("%s is of no use (%s); quantising again.", folder, reason)
    set_aside(folder)
    return False


def store(model: Any, folder: Path) -> None:
    """Write a quantised model; of several processes that do so at a time, the first one's stays.

    Raises:
        StorageError: the disk is full, or not ours to write.
    """
    remove_stale_temporaries(folder.parent)
    with atomic_folder(folder) as temporary, warnings.catch_warnings():
        # "Attempting to save a model with offloaded modules": said of any model on a CPU.
        warnings.simplefilter("ignore", UserWarning)
        model.save_pretrained(temporary, max_shard_size=SHARD_SIZE)
    logger.info("Kept the quantised weights in %s: the next start reads those.", folder)
