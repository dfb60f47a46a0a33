"""Loading for real, at small size: quantised, kept, offloaded to disk and to host memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from promptmill.engine.loading import (
    LoadedModel,
    LoadPlan,
    load_model,
    require_as_planned,
)
from promptmill.errors import EngineError
from promptmill.hardware import Hardware
from promptmill.placing.case import Case
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.decide import decide
from promptmill.placing.memory import MIB, Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.shape import skeleton_of
from promptmill.placing.split import Splitter
from promptmill.placing.torch_build import require_gpus, require_no_hidden_gpus
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer

LLAMA = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama with random weights."""
    config = LlamaConfig(**LLAMA, vocab_size=VOCABULARY, bos_token_id=BOS, eos_token_id=EOS)
    return _saved(config, tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GPT-2, whose matrices lie the other way round."""
    config = GPT2Config(n_embd=64, n_layer=3, n_head=4, vocab_size=VOCABULARY, bos_token_id=BOS, eos_token_id=EOS)
    return _saved(config, tmp_path_factory.mktemp("gpt2"))


def _saved(config: Any, folder: Path) -> str:
    torch.manual_seed(11)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def _loaded(plan: LoadPlan) -> LoadedModel:
    load_model.cache_clear()
    return load_model(plan)


def _logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.arange(12)[None]).logits
    return logits


def test_a_process_loads_a_model_once(llama: str) -> None:
    """Asked with the same plan it hands out the same model."""
    assert load_model(LoadPlan(llama, "float32")) is load_model(LoadPlan(llama, "float32"))


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_quantised_weights_are_kept_and_read_again(
    name: str, bits: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The second start quantises nothing, and computes the very same numbers."""
    stored = tmp_path / "quantized" / "kept"
    plan = LoadPlan(request.getfixturevalue(name), "float32", bits, stored=str(stored))
    first = _loaded(plan)
    expected = _logits(first.model)
    second = _loaded(plan)
    assert (first.from_store, second.from_store) == (False, True)
    assert torch.equal(_logits(second.model), expected)
    assert [path.name for path in stored.parent.iterdir()] == ["kept"]
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in stored.iterdir())


def test_kept_weights_that_are_damaged_are_set_aside_and_made_again(llama: str, tmp_path: Path) -> None:
    """A file cut by a full disk or a copy: noticed from its header, never loaded, never deleted."""
    stored = tmp_path / "kept"
    plan = LoadPlan(llama, "float32", "4bit", stored=str(stored))
    expected = _logits(_loaded(plan).model)
    weights = stored / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    again = _loaded(plan)
    assert not again.from_store
    assert torch.equal(_logits(again.model), expected)
    assert len(list(tmp_path.glob("kept.corrupt-*"))) == 1
    assert _loaded(plan).from_store


def test_weights_that_come_quantised_are_loaded_as_what_they_are(llama: str, tmp_path: Path) -> None:
    """A checkpoint in bitsandbytes' 4 bits stays so, and nothing is kept beside it."""
    quantised = tmp_path / "theirs"
    _loaded(LoadPlan(llama, "float32", "4bit", stored=str(quantised)))
    byte_tokenizer().save_pretrained(quantised)
    checkpoint = inspect_checkpoint(quantised)
    assert checkpoint.quantization == "bitsandbytes-4bit"
    loaded = _loaded(LoadPlan(str(quantised), "float32", checkpoint.quantization))
    assert loaded.model.is_loaded_in_4bit
    assert loaded.memory_bytes < _loaded(LoadPlan(llama, "float32")).memory_bytes / 2


def test_layers_on_disk_compute_the_same(llama: str, tmp_path: Path) -> None:
    """Two layers of four are read from the checkpoint's own file at each pass; the others are in memory."""
    whole = _logits(_loaded(LoadPlan(llama, "float32")).model)
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    layers = {f"model.layers.{number}": "disk" if number < 2 else "cpu" for number in range(4)}
    plan = LoadPlan(llama, "float32", device_map=(*places.items(), *layers.items()), offload=str(tmp_path / "offload"))
    model = _loaded(plan).model
    away = {name.split(".")[2] for name, value in model.named_parameters() if value.device.type == "meta"}
    assert away == {"0", "1"}
    assert torch.equal(_logits(model), whole)
    assert list((tmp_path / "offload").iterdir()) == []


def test_a_model_larger_than_memory_generates_from_disk(llama: str, tmp_path: Path) -> None:
    """From the decision to the tokens: host memory is limited, the rest of the layers lies on disk."""
    skeleton = skeleton_of(llama)
    workload = Workload(prompt_tokens=8, new_tokens=8)
    options = PlacementOptions.parsed(max_memory='{"cpu": "900KB"}', offload="disk")
    hardware = Hardware((), cores=1, host_bytes=64 * MIB)
    case = Case(skeleton.shape, hardware, options, workload, "float32", "none", Splitter(skeleton, skeleton.shape))
    decision = decide(case)
    assert decision is not None
    assert decision.kind == "disk-offload"
    assert {device for _, device in decision.device_map} == {"cpu", "disk"}
    plan = LoadPlan(llama, "float32", device_map=decision.device_map, offload=str(tmp_path))
    assert _greedy(_loaded(plan).model) == _greedy(_loaded(LoadPlan(llama, "float32")).model)


def test_layers_in_host_memory_compute_the_same(llama: str) -> None:
    """accelerate's hooks, with the CPU in the GPU's place: weights come for a layer's turn and go again."""
    from accelerate import cpu_offload

    model = _loaded(LoadPlan(llama, "float32")).model
    expected = _greedy(model)
    offloaded = cpu_offload(model, execution_device=torch.device("cpu"))
    assert {str(parameter.device) for parameter in offloaded.parameters()} == {"meta"}
    assert _greedy(offloaded) == expected
    load_model.cache_clear()


def _greedy(model: Any) -> list[int]:
    ids = torch.arange(8)[None] + 20
    tokens: list[int] = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)[
        0
    ].tolist()
    return tokens


def test_loading_never_holds_the_model_twice(tmp_path: Path) -> None:
    """Of a model of 100 MB, memory that is not just mapped files grows by less than 130 MB while it is loaded."""
    config = LlamaConfig(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=8, vocab_size=VOCABULARY
    )
    folder = _saved(config, tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 100e6
    script = f"""
import threading, time, torch
from promptmill.engine.loading import LoadPlan, load_model
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained({folder!r}, dtype=torch.float32, device_map={{"": "meta"}})

def used():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

before, peak, loading = used(), 0, True

def watch():
    global peak
    while loading:
        peak = max(peak, used())
        time.sleep(0.001)

thread = threading.Thread(target=watch)
thread.start()
load_model(LoadPlan({folder!r}, "float32"))
loading = False
thread.join()
print(peak - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout.split()[-1]) < 130e6


def test_a_torch_for_the_cpu_alone_on_a_gpu_machine_is_an_error(monkeypatch: pytest.MonkeyPatch, llama: str) -> None:
    """It says what to install, and how to use the CPU knowingly; nothing falls back."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(EngineError, match=r"build for the CPU alone.*pip install.*CUDA_VISIBLE_DEVICES="):
        require_gpus(1)
    with pytest.raises(EngineError, match="build for the CPU alone"):
        _loaded(LoadPlan(llama, "float16", device_map=(("", 0),)))


def test_a_driver_that_torch_cannot_use_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch for CUDA that sees no GPU where the driver shows one."""
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EngineError, match="sees 0 of the 1 it needs"):
        require_gpus(1)


def test_gpus_that_the_driver_library_does_not_show_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMD's, say: the CPU is used only when the user hides them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "AMD Instinct MI250")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(EngineError, match="MI250"):
        require_no_hidden_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    require_no_hidden_gpus()


def test_a_model_that_lies_elsewhere_than_planned_is_an_error(llama: str) -> None:
    """On the CPU instead of a GPU, or plain instead of quantised."""
    model = _loaded(LoadPlan(llama, "float32")).model
    with pytest.raises(EngineError, match="came to lie on cpu instead of cuda:0"):
        require_as_planned(model, LoadPlan(llama, "float32", device_map=(("", 0),)))
    with pytest.raises(EngineError, match="were to be 4bit, and were loaded unquantised"):
        require_as_planned(model, LoadPlan(llama, "float32", "4bit"))


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    """No traceback of transformers, but a sentence."""
    with pytest.raises(EngineError, match="cannot be loaded"):
        _loaded(LoadPlan(str(tmp_path), "float32"))
