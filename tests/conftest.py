"""Fixtures: real models in small, a local Hub, and the environment that keeps the user's own out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from transformers import GPT2Config, GPT2LMHeadModel

from promptmill.demo import ensure_demo_model
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer
from tests.forkserver import set_environment
from tests.hub.fixtures import hub
from tests.scheduling import make_scheduler, turn
from tests.slurm.fixtures import _slurm, cluster, source

__all__ = ["_slurm", "cluster", "hub", "source"]

LONG_SECONDS = 10


def pytest_configure(config: pytest.Config) -> None:
    """Of several processes that run tests each has one core: theirs, and that of all that they start.

    Two processes of two threads each are several times slower on two cores than of one thread each.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
        torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests stay in one process, where several run tests."""
    return make_scheduler(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take long begin first: what waits longest must not begin last."""
    items.sort(key=turn)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that take long and have no marker that says so; it is a report, as machines differ."""
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and "long" not in report.keywords:
                seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
    slow = sorted((time, name) for name, time in seconds.items() if time > LONG_SECONDS)
    if slow:
        terminalreporter.section(f"tests over {LONG_SECONDS} s without the marker `long`")
        for time, name in reversed(slow):
            terminalreporter.write_line(f"{time:7.1f} s  {name}")


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the user's login, cache or luigi.cfg, and none can reach the public Hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "hf-home"))
        patch.setenv("XDG_CACHE_HOME", str(_shared_folder(tmp_path_factory) / "caches"))
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        patch.delenv("HF_TOKEN", raising=False)
        patch.delenv("LUIGI_CONFIG_PATH", raising=False)
        # xdist sets it for the processes that run tests: ours have to find their modules without.
        patch.delenv("PYTHONPATH", raising=False)
        set_environment(os.environ)
        yield


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all processes that run tests at the same time."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """What the program sets for its own process, when a test calls it in this one, ends with the test.

    A variable that stayed would make every command from then on start cold.
    """
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


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
    folder = cache.mkdir("models")
    with FileLock(folder.with_name("models.lock")):
        return ensure_demo_model(folder)
