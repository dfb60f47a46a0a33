"""Tests that need vLLM, which has an environment of its own: `make test-vllm` makes it and runs them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.engine.tiny import byte_tokenizer, tiny_model

if find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as a Hugging Face folder, with heads as large as vLLM's smallest."""
    path = tmp_path_factory.mktemp("vllm") / "tiny-llama"
    tiny_model("wide llama").save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path
