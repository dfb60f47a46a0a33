"""Models and files that would run code if somebody let them."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest

TRACE = "PROMPTMILL_TEST_TRACE"

_CONFIGURATION = """
from transformers import GPT2Config

class ShoutingConfig(GPT2Config):
    model_type = "{kind}"
"""
_MODELING = f"""
import os
from pathlib import Path
from transformers import GPT2LMHeadModel
from .configuration_shouting import ShoutingConfig

Path(os.environ["{TRACE}"]).touch()

class ShoutingModel(GPT2LMHeadModel):
    config_class = ShoutingConfig
"""
AUTO_MAP = {
    "AutoConfig": "configuration_shouting.ShoutingConfig",
    "AutoModelForCausalLM": "modeling_shouting.ShoutingModel",
}


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the code of a model has run, in this process or in one that a test starts."""
    path = tmp_path / "ran"
    monkeypatch.setenv(TRACE, str(path))
    return path


@pytest.fixture
def coded(tiny_gpt2: Path, tmp_path: Path, trace: Path) -> Path:
    """The tiny GPT-2 as a kind of model that transformers knows only through the code beside it."""
    folder = tmp_path / "coded"
    shutil.copytree(tiny_gpt2, folder)
    # Once its code was let run, transformers takes a kind of model for known until the process ends.
    kind = f"shouting-{uuid.uuid4().hex[:8]}"
    (folder / "configuration_shouting.py").write_text(_CONFIGURATION.format(kind=kind))
    (folder / "modeling_shouting.py").write_text(_MODELING)
    name_code(folder, AUTO_MAP, model_type=kind)
    return folder


def name_code(folder: Path, auto_map: dict[str, str], **changes: str) -> None:
    """Have a model's config name this code."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": auto_map, **changes}))
