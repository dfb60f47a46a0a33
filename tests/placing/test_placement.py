"""PlaceModel's work from end to end: decided, identity fixed, loaded, measured, written down, loaded again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import PreTrainedModel

from promptmill.engine import ways
from promptmill.engine.choosing import EngineOptions, choose_engine
from promptmill.engine.contract import Completion, Engine, Request
from promptmill.engine.loading import load_model, load_tokenizer
from promptmill.engine.transformers import TransformersEngine
from promptmill.errors import ConfigurationError, EngineError
from promptmill.files import read_json, write_json
from promptmill.hardware import Hardware
from promptmill.libraries import library_versions
from promptmill.model import pin_model
from promptmill.placement import Placement, load_placed, place_model, recorded_placement, require_model
from promptmill.placing.case import CPU_ROWS
from promptmill.placing.checkpoint import Checkpoint, inspect_checkpoint
from promptmill.placing.memory import GIB, MIB, Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.place import decide_place
from promptmill.placing.workload import workload_of
from promptmill.prompts import PreparedPrompts
from promptmill.prompts.prepared import MESSAGES
from promptmill.run import RunFolder, open_run, recorded_identity
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings
from tests.engine.tiny import byte_tokenizer
from tests.placing.models import t4

CPU = Hardware((), cores=1, host_bytes=8 * GIB)
PROMPTS = PreparedPrompts(rows=3, sha256="0" * 64, kind="prompt", columns=(), source="made up", revision=None)
MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Begins runs below one data folder, with three short prompts each."""

    def make(model: Path, quantization: str = "none", *, dtype: str = "auto", name: str = "run") -> RunFolder:
        run = RunFolder.named(tmp_path, name)
        settings = RunSettings(
            model=str(model),
            revision=None,
            prompts_sha256="0" * 64,
            prompt_column=None,
            template=None,
            system_prompt=None,
            limit=None,
            samples_per_prompt=1,
            sampling=SamplingParameters(max_new_tokens=8, temperature=0),
            seed=0,
            dtype=dtype,
            quantization=quantization,
            engine="transformers",
        )
        open_run(run, settings, "made up")
        pin_model(settings.model, None, tmp_path, run.model)
        run.prompts_table.parent.mkdir(parents=True)
        texts = ["Once", "upon a", "time there was"]
        pq.write_table(pa.table({"prompt_id": ["0", "1", "2"], "prompt": texts}), run.prompts_table)
        return run

    return make


def _never(*_: object) -> Any:
    raise AssertionError("nothing was to be loaded, or tried")


def _texts(run: RunFolder, hardware: Hardware) -> list[str]:
    placement, loaded = recorded_placement(run, hardware), load_placed(run, hardware)
    assert placement is not None
    sampling = run.settings.sampling
    engine = TransformersEngine(loaded.model, loaded.tokenizer, sampling, batch_size=placement.batch_size)
    return _generated(engine)


def _generated(engine: Engine) -> list[str]:
    requests = [Request(position=number, seed=number, prompt=f"{number} is a number") for number in range(3)]
    done: list[Completion] = sorted(engine.generate(requests, lambda: False), key=lambda row: row.position)
    assert not [completion for completion in done if completion.finish_reason == "error"]
    return [completion.response for completion in done]


def test_the_record_holds_the_arithmetic_and_what_was_measured(tiny_gpt2: Path, make_run: MakeRun) -> None:
    """`placement-cpu.json`: why, and how it came out."""
    run = make_run(tiny_gpt2)
    placement = place_model(run, CPU, PROMPTS)
    record = json.loads(run.placement("cpu").read_text())
    assert Placement.from_json(record) == placement == recorded_placement(run, CPU)
    sums = record["decision"]["arithmetic"]
    assert sums["weights"] == record["measured"]["memory_bytes"]
    assert sums["positions"] < 100
    assert sums["planned"][0] <= sums["usable"][0] <= CPU.host_bytes
    measured = record["measured"]
    assert measured["load_seconds"] > 0
    assert measured["peak_bytes"]["host"] >= measured["loaded_bytes"]["host"] > 0
    assert measured["tokens_per_second"] > 0
    assert measured["slots_with"].items() >= library_versions().items()
    assert (placement.batch_size, placement.cache_positions) == (CPU_ROWS, None)


def test_the_identity_is_fixed_with_what_auto_came_to(slow_gpt2: Path, make_run: MakeRun) -> None:
    """float32 on a CPU; no quantisation where memory is plenty, the most of it where it is scarce."""
    rich, poor = make_run(slow_gpt2, "auto", name="rich"), make_run(slow_gpt2, "auto", name="poor")
    place_model(rich, CPU, PROMPTS)
    assert (recorded_identity(rich).dtype, recorded_identity(rich).quantization) == ("float32", "none")
    place_model(poor, replace(CPU, host_bytes=_just_enough_for_4bit(slow_gpt2, make_run)), PROMPTS)
    assert recorded_identity(poor).quantization == "4bit"
    assert recorded_identity(poor).fingerprint != recorded_identity(rich).fingerprint


def test_what_was_resolved_holds_for_other_hardware(slow_gpt2: Path, make_run: MakeRun) -> None:
    """A machine with more memory goes on in the quantization that the run has: it changes the bytes."""
    run = make_run(slow_gpt2, "auto")
    place_model(run, replace(CPU, host_bytes=_just_enough_for_4bit(slow_gpt2, make_run)), PROMPTS)
    run.placement("cpu").unlink()
    assert place_model(run, CPU, PROMPTS).decision.quantization == "4bit"


def _just_enough_for_4bit(model: Path, make_run: MakeRun) -> int:
    placements = [
        place_model(make_run(model, bits, name=f"size-{bits}"), CPU, PROMPTS).decision.arithmetic
        for bits in ("8bit", "4bit")
    ]
    one_row = [sums.weights + sums.kv_cache_row for sums in placements]
    assert one_row[1] < one_row[0]
    run = make_run(model, "4bit", name="least")
    low, high = 0, GIB
    while high - low > 1000:
        middle = (low + high) // 2
        try:
            _decide_4bit(run, replace(CPU, host_bytes=middle))
            high = middle
        except EngineError:
            low = middle
    return high


def _decide_4bit(run: RunFolder, hardware: Hardware) -> None:
    def workload(tokenizer: Any) -> Workload:
        return workload_of(run.prompts_table, tokenizer, new_tokens=8, system_prompt=None)

    options = PlacementOptions()
    decide_place(_checkpoint(run), hardware, options, dtype="auto", quantization="4bit", workload=workload)


def _checkpoint(run: RunFolder) -> Checkpoint:
    return inspect_checkpoint(require_model(run).folder)


def test_hardware_that_was_met_before_is_not_calibrated_again(tiny_gpt2: Path, make_run: MakeRun) -> None:
    """The record is the answer; nothing is loaded for it."""
    run = make_run(tiny_gpt2)
    first = place_model(run, CPU, PROMPTS)
    assert place_model(run, CPU, PROMPTS, prove=_never) == first


@pytest.mark.parametrize("changed", [{"transformers": "4.0"}, {"trial of slots": None}], ids=["library", "trial"])
def test_slots_are_not_tried_again_on_hardware_that_was_met_before(
    changed: dict[str, str | None], tiny_gpt2: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later start decodes in them at once, if the libraries and the trial are those that they were tried with."""
    run = make_run(tiny_gpt2)
    place_model(run, CPU, PROMPTS)
    expected = _texts(run, CPU)
    monkeypatch.setattr(ways, "why_no_slots", _never)
    options = EngineOptions(batch_size=None, processes=1, endpoint=None)
    assert _generated(choose_engine(run, options, CPU)) == expected
    record = read_json(run.placement("cpu"))
    record["measured"]["slots_with"].update(changed)
    write_json(run.placement("cpu"), record)
    with pytest.raises(EngineError, match="nothing was to be"):
        _generated(choose_engine(run, options, CPU))


def test_a_model_without_slots_is_recorded_as_such(
    tiny_gpt2: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine tries, and says why it can't, at each start."""
    monkeypatch.setattr(ways, "why_no_slots", lambda forward: "its logits were off.")
    assert not place_model(make_run(tiny_gpt2), CPU, PROMPTS).measured.slots_work


def test_other_options_place_the_model_anew(tiny_gpt2: Path, make_run: MakeRun) -> None:
    """A limit that was given later is kept to, and so is its being left out again."""
    run = make_run(tiny_gpt2)
    free = place_model(run, CPU, PROMPTS)
    limited = PlacementOptions.parsed(max_memory='{"cpu": "50MiB"}', device_map="cpu")
    assert place_model(run, CPU, PROMPTS, limited).decision.arithmetic.usable[0] == 50 * MIB
    recorded = recorded_placement(run, CPU)
    assert recorded is not None
    assert recorded.options == limited
    assert place_model(run, CPU, PROMPTS).decision == free.decision


def test_what_does_not_fit_fails_before_anything_is_loaded(tiny_gpt2: Path, make_run: MakeRun) -> None:
    """With the sizes and ways out, and without an identity: another machine may still begin the run."""
    run = make_run(tiny_gpt2)
    with pytest.raises(EngineError, match=r"(?s)nothing was loaded.*KiB|MiB.*3\. "):
        place_model(run, replace(CPU, host_bytes=MIB // 10), PROMPTS, prove=_never)
    assert not run.identity.exists()
    assert not run.placement("cpu").exists()


def test_a_gpu_machine_with_a_torch_for_the_cpu_does_not_fall_back(
    tiny_gpt2: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver shows a T4, torch cannot use it: an error, with what to install."""
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(EngineError, match="build for the CPU alone"):
        place_model(make_run(tiny_gpt2), Hardware(t4(1), cores=1, host_bytes=GIB), PROMPTS)


def test_a_run_in_bfloat16_does_not_go_on_on_turing(tiny_gpt2: Path, make_run: MakeRun) -> None:
    """Begun elsewhere, its dtype is part of its identity."""
    run = make_run(tiny_gpt2, dtype="bfloat16")
    place_model(run, CPU, PROMPTS)
    with pytest.raises(ConfigurationError, match="T4 has none"):
        place_model(run, Hardware(t4(1), cores=1, host_bytes=GIB), PROMPTS)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_runs_share_the_kept_weights(tiny_gpt2: Path, make_run: MakeRun, bits: str) -> None:
    """Below the data folder's models/: written by the first start of the first run, read by all others."""
    first, second = make_run(tiny_gpt2, bits, name="first"), make_run(tiny_gpt2, bits, name="second")
    assert not place_model(first, CPU, PROMPTS).measured.from_store
    expected = _texts(first, CPU)
    load_model.cache_clear()
    assert place_model(second, CPU, PROMPTS).measured.from_store
    assert _texts(second, CPU) == expected
    kept = [path.name for path in (first.data / "models" / "quantized").iterdir()]
    assert len(kept) == 1
    assert kept[0].endswith(f"-{bits}-float32")


def test_the_workload_is_nine_prompts_of_ten_and_the_longest(tmp_path: Path) -> None:
    """In tokens of the model's own tokenizer; here a token is a byte."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    table = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"prompt": ["x" * size for size in (5, 1, 2, 3, 900, 4, 6, 7, 8, 9, 10)]}), table)
    extra = len(tokenizer("x")["input_ids"]) - 1
    assert workload_of(table, tokenizer, new_tokens=7) == Workload(10 + extra, 7, 900 + extra)


def test_the_workload_of_chats_counts_all_their_messages(tmp_path: Path) -> None:
    """And what the template puts around them."""
    chats = [[{"role": "user", "content": "x" * size}, {"role": "assistant", "content": "yy"}] for size in (1, 50, 3)]
    table = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"messages": pa.array(chats, MESSAGES)}), table)
    tokenizer = byte_tokenizer()
    found = workload_of(table, tokenizer, new_tokens=7, system_prompt="be brief")
    assert 50 + 2 + len("be brief") <= found.longest_prompt <= 50 + 2 + len("be brief") + 80
    assert found.prompt_tokens < found.longest_prompt


@pytest.mark.demo
@pytest.mark.long
@pytest.mark.parametrize(("bits", "most"), [("8bit", 230), ("4bit", 175)])
def test_the_demo_model_is_quantised_and_generates(demo_folder: Path, make_run: MakeRun, bits: str, most: int) -> None:
    """Of 513 MiB in float32, 210 are left in 8 and 160 in 4 bits; and it still knows Paris."""
    run = make_run(demo_folder, bits)
    placement = place_model(run, CPU, replace(PROMPTS, kind="prompt"))
    assert placement.measured.memory_bytes < most * MIB
    assert placement.measured.memory_bytes == pytest.approx(placement.decision.arithmetic.weights, rel=0.02)
    assert any("no time" in warning for warning in placement.decision.warnings)
    loaded = load_placed(run, CPU)
    engine = TransformersEngine(loaded.model, loaded.tokenizer, run.settings.sampling, batch_size=2)
    question = ({"role": "user", "content": "What is the capital of France?"},)
    (answer,) = engine.generate([Request(position=0, seed=0, messages=question)], lambda: False)
    assert "Paris" in answer.response
    load_model.cache_clear()
    assert load_placed(run, CPU).from_store


@pytest.mark.demo
def test_placing_the_demo_model_takes_few_passes(demo_folder: Path, make_run: MakeRun) -> None:
    """Loading and calibrating cost no more than a batch or two of short completions."""
    run = make_run(demo_folder)
    load_tokenizer(str(demo_folder))
    passes: list[int] = []

    def count(module: torch.nn.Module, *_: object) -> None:
        if isinstance(module, PreTrainedModel) and hasattr(module, "lm_head"):
            passes.append(1)

    with torch.nn.modules.module.register_module_forward_hook(count):
        placement = place_model(run, CPU, PROMPTS)
    assert 0 < len(passes) < 100
    assert placement.measured.tokens_per_second > 1
