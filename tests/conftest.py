"""Fixtures: real models in small, a local Hub, and the environment that keeps the user's own out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from promptmill.demo import ensure_demo_model
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer
from tests.hub.fixtures import hub
from tests.slurm.fixtures import _slurm, cluster

__all__ = ["_slurm", "cluster", "hub"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's login, cache or luigi.cfg, and none can reach the public Hub."""
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "hf-home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("LUIGI_CONFIG_PATH", raising=False)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """What a process sets up for its log, when a test runs tasks or a chat in this one, ends with the test."""
    logger = logging.getLogger("promptmill")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1:]


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with random weights, a byte-level tokenizer and no chat template, as a Hugging Face folder."""
    return _save_gpt2(tmp_path_factory.mktemp("models") / "tiny-gpt2", width=32)


@pytest.fixture(scope="session")
def slow_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with more weights, so that a few hundred rows take long enough to be killed in."""
    return _save_gpt2(tmp_path_factory.mktemp("models") / "slow-gpt2", width=384)


def _save_gpt2(folder: Path, *, width: int) -> Path:
    torch.manual_seed(7)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=width, n_layer=4, n_head=4, n_positions=512, bos_token_id=BOS, eos_token_id=EOS
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def demo_folder(request: pytest.FixtureRequest) -> Path:
    """The demo model as a Hugging Face folder; converted once and kept in pytest's cache folder."""
    cache = request.config.cache
    assert cache is not None
    return ensure_demo_model(cache.mkdir("models"))
