"""Models to talk to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptmill.engine.loading import LoadedModel
from tests.engine.tiny import byte_tokenizer, tiny_model


def loaded(kind: str = "llama", *, chat: bool = True) -> LoadedModel:
    """A tiny model with random weights."""
    tokenizer = byte_tokenizer()
    if not chat:
        tokenizer.chat_template = None
    return LoadedModel(tiny_model(kind), tokenizer, 0.0, 0)


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model as a folder: a Llama with random weights and 4,096 positions, whose answers are long nonsense."""
    return _saved(tmp_path_factory.mktemp("models") / "tiny-chat", max_position_embeddings=4096)


@pytest.fixture(scope="session")
def short_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a context of 96 positions."""
    return _saved(tmp_path_factory.mktemp("models") / "short-chat", max_position_embeddings=96)


@pytest.fixture
def data_with_demo(tmp_path: Path, demo_folder: Path) -> Path:
    """A data folder that has the demo model already."""
    models = tmp_path / "data" / "models"
    models.mkdir(parents=True)
    (models / demo_folder.name).symlink_to(demo_folder)
    return tmp_path / "data"


def _saved(folder: Path, **config: Any) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    from tests.engine.tiny import CONFIGURATIONS

    torch.manual_seed(7)
    settings = CONFIGURATIONS["llama"]()
    settings.update(config)
    model = AutoModelForCausalLM.from_config(settings)
    model.generation_config.eos_token_id = None  # its answers end at --max-new-tokens, or when they are stopped
    model.save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    return folder
