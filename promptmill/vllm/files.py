"""A model's folder as vLLM may see it: without an index it reads every file of tensors that lies there."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptmill.placing.headers import INDEX, weight_files

logger = logging.getLogger(__name__)


@contextmanager
def model_files_alone(folder: Path) -> Iterator[Path]:
    """The folder, or for the time of the block one of links that leaves out tensors which are not the model's own.

    Adapters lie beside models, and copies in another library's format: read as well, they would take the place
    of the model's tensors.
    """
    own = {file.name for file in weight_files(folder)}
    others = sorted(file.name for file in folder.glob("*.safetensors") if file.name not in own)
    if not others or (folder / INDEX).is_file():
        yield folder
        return
    logger.warning("%s is read alone; what lies beside it is not: %s.", ", ".join(sorted(own)), ", ".join(others))
    with tempfile.TemporaryDirectory(prefix="promptmill-model-") as name:
        links = Path(name) / folder.name
        links.mkdir()
        for file in folder.iterdir():
            if file.name not in others:
                (links / file.name).symlink_to(file.resolve())
        yield links
