"""Memory that runs out anywhere in a run costs time, and no row."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from promptmill.engine import policy as policy_module
from promptmill.engine.decoder import Decoder
from promptmill.engine.failures import is_out_of_memory
from promptmill.engine.model import Forward
from promptmill.engine.policy import Policy
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way, choose_decoder
from promptmill.errors import EngineError
from tests.engine.intercept import watch
from tests.engine.tiny import CONTEXT, greedy, prompts, requests, run, tiny_model

WAYS: tuple[Way, ...] = ("slots", "batches")


def driver_error(code: int) -> RuntimeError:
    """What a CUDA call raises by itself; PyTorch puts CUDA's code on it."""
    error: RuntimeError = torch.AcceleratorError(f"CUDA error: number {code}")
    error.error_code = code  # type: ignore[attr-defined]
    return error


KINDS = {
    "of PyTorch's allocator": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "of the driver": lambda: driver_error(2),
    "of the host's allocator": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:131] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    "of Python": MemoryError,
}


@pytest.mark.parametrize("way", WAYS)
def test_at_every_single_pass_of_a_run(model: Any, tokenizer: Any, way: Way) -> None:
    """Whichever forward pass it hits, over prompts or over tokens, the completions are the same, each once."""
    asked = requests(prompts(5))
    engine = TransformersEngine(model, tokenizer, greedy(5), batch_size=3, way=way)
    expected = run(engine, asked)
    count = fails_at = 0

    def before(ids: torch.Tensor) -> None:
        nonlocal count
        count += 1
        if count == fails_at:
            raise torch.OutOfMemoryError("just now")

    watch(model, before)
    run(engine, asked)
    passes = count
    assert passes > 10
    for fails_at in range(1, passes + 1):
        count = 0
        assert run(engine, asked) == expected, f"pass {fails_at} of {passes}"


@pytest.mark.parametrize("way", WAYS)
def test_where_rows_that_ended_make_room(model: Any, tokenizer: Any, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches are copied to close gaps, which may fail as well; rows that ended just before are there once."""
    asked = requests("x" * length for length in range(CONTEXT - 9, CONTEXT))  # from nine tokens left to one
    expected = run(TransformersEngine(model, tokenizer, greedy(), batch_size=4, way=way), asked)
    failed = []

    def fails_once(forward: Forward, policy: Policy) -> Decoder:
        decoder = choose_decoder(forward, policy, way)
        keep = decoder.keep

        def failing(order: Any) -> None:
            if order and not failed:
                failed.append(1)
                raise torch.OutOfMemoryError("in the middle")
            keep(order)

        monkeypatch.setattr(decoder, "keep", failing)
        return decoder

    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=4, make_decoder=fails_once)
    assert run(engine, asked) == expected
    assert failed


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind(model: Any, tokenizer: Any, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The device's allocator, its driver, the host: the batch is halved, and rows are not tried one by one."""
    asked = requests(prompts(8))
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=8)
    expected = run(engine, asked)

    def before(ids: torch.Tensor) -> None:
        if ids.shape[0] > 4:
            raise KINDS[kind]()

    watch(model, before)
    with caplog.at_level(logging.WARNING):
        assert run(engine, asked) == expected
    assert [record.getMessage() for record in caplog.records if record.name != "promptmill.engine.finish"] == [
        "Out of memory with 8 rows; going on with 4."
    ]


def test_other_troubles_are_not_taken_for_it() -> None:
    """A device that is lost, or an error of the model that names memory."""
    assert not is_out_of_memory(driver_error(710))
    assert not is_out_of_memory(RuntimeError("this model's memory module needs DefaultGPUAllocator"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("way", WAYS)
def test_the_batch_creeps_up_again_to_its_old_size(
    model: Any, tokenizer: Any, way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once memory is back the batch grows step by step, each step a line, and ends as large as it was."""
    monkeypatch.setattr(policy_module, "CREEP_PASSES", 4)
    asked, tokens = requests(prompts(120)), 12 if way == "slots" else 5
    expected = run(TransformersEngine(model, tokenizer, greedy(tokens), way=way), asked)
    engine = TransformersEngine(model, tokenizer, greedy(tokens), batch_size=16, way=way)
    run(engine, asked[:1])
    count = 0

    def before(ids: torch.Tensor) -> None:
        nonlocal count
        count += 1
        if 10 <= count < 25 and ids.shape[0] > 2:
            raise torch.OutOfMemoryError("for a while")

    passes = watch(model, before)
    with caplog.at_level(logging.INFO, logger="promptmill.engine.policy"):
        assert run(engine, asked) == expected
    said = [record.getMessage() for record in caplog.records if record.name != "promptmill.engine.finish"]
    down = [line for line in said if line.startswith("Out of memory")]
    up = [int(line.split("up to ")[1].split()[0]) for line in said if "without trouble" in line]
    assert 2 <= len(down) <= 6
    assert up[-1] == 16
    assert len(said) == len(down) + len(up)
    after = [ids.shape[0] for ids in passes.ids if ids.shape[1] == 1]
    assert max(after[-200:]) == 16


def test_in_a_trial_it_is_no_reason_for_a_slower_way(tokenizer: Any) -> None:
    """Before the first row there is nothing to halve: the run ends at once, and says that it was memory."""
    model = tiny_model()

    def before(ids: torch.Tensor) -> None:
        if ids.shape[0] > 1:
            raise torch.OutOfMemoryError("somebody else has it")

    watch(model, before)
    with pytest.raises(EngineError, match="somebody else has it"):
        run(TransformersEngine(model, tokenizer, greedy()), requests(prompts(3)))
