"""Weights that are not there, not used or of another shape: refused before a byte of them is read, with their names."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForSequenceClassification

from promptmill.engine.loading import LoadPlan, load_model
from promptmill.errors import EngineError
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.compared import Differences, compare
from promptmill.placing.completeness import require_all_weights
from promptmill.placing.shape import skeleton_of
from tests.command import build_dataset
from tests.engine.tiny import CONFIGURATIONS, byte_tokenizer, tiny_model

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of tiny models, each written once."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind.replace(" ", "-"))
            tiny_model(kind).save_pretrained(folders[kind])
            byte_tokenizer().save_pretrained(folders[kind])
        return folders[kind]

    return folder


@pytest.fixture
def changed(tmp_path: Path, saved: Callable[[str], Path]) -> Callable[..., Path]:
    """A model whose tensors or configuration are others than they were saved."""

    def folder(kind: str, change: Callable[[Weights], Weights] = lambda tensors: tensors, **config: Any) -> Path:
        path = tmp_path / "model"
        shutil.copytree(saved(kind), path)
        tensors = {name: value.contiguous() for name, value in change(load_file(path / "model.safetensors")).items()}
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        file = path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | config))
        return path

    return folder


def check(folder: Path) -> None:
    """What every engine does before it loads a model."""
    require_all_weights(inspect_checkpoint(folder), skeleton_of(folder).model)


def without(part: str) -> Callable[[Weights], Weights]:
    """All tensors but those with this in their names."""
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    """All tensors, some of them under other names."""
    return lambda tensors: {name.replace(old, new): value for name, value in tensors.items()}


def and_also(**more: torch.Tensor) -> Callable[[Weights], Weights]:
    """All tensors and some more; two underscores stand for a dot."""
    return lambda tensors: tensors | {name.replace("__", "."): value for name, value in more.items()}


@pytest.mark.parametrize("kind", sorted(CONFIGURATIONS))
def test_what_transformers_saved_is_complete(saved: Callable[[str], Path], kind: str) -> None:
    """Tied weights, experts that are stored one by one, and all."""
    check(saved(kind))


@pytest.mark.parametrize(
    ("change", "config", "said"),
    [
        (without("lm_head"), {}, "lack lm_head.weight.*set tie_word_embeddings to true"),
        (without("layers.1.mlp.up_proj"), {}, r"lack model.layers.1.mlp.up_proj.weight.*Copy the whole model again"),
        (without("nothing"), {"num_hidden_layers": 1}, "no place for.*num_hidden_layers is 1.*files hold 2 layers"),
        (without("nothing"), {"num_hidden_layers": 4}, r"layers.\{2-3\}.*num_hidden_layers is 4.*files hold 2 layers"),
        (without("layers.1."), {}, "num_hidden_layers is 2.*files hold 1 layers"),
        (without("nothing"), {"vocab_size": 300}, "260 × 32 in the files and 300 × 32 .*vocab_size is 300.*say 260"),
        (without("nothing"), {"intermediate_size": 96}, "intermediate_size is 96.*say 48"),
        (without("nothing"), {"num_key_value_heads": 1}, "num_key_value_heads is 1.*say 2"),
        (renamed("model.layers.", "blk."), {}, "names are those of another library, as blk.0"),
        (and_also(model__layers__0__self_attn__q_proj__bias=torch.ones(32)), {}, "no place for .*q_proj.bias"),
    ],
)  # fmt: skip
def test_weights_that_are_not_the_models_are_named(
    changed: Callable[..., Path], change: Callable[[Weights], Weights], config: dict[str, Any], said: str
) -> None:
    """With both shapes, and the key of config.json that they contradict."""
    with pytest.raises(EngineError, match=said):
        check(changed("llama", change, **config))


def test_a_key_is_named_as_config_json_has_it(changed: Callable[..., Path]) -> None:
    """GPT-2 says n_embd for the width that others call hidden_size."""
    with pytest.raises(EngineError, match=r"n_embd is 96 in config.json, and the files say 64"):
        check(changed("gpt2", n_embd=96))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("llama", renamed("model.", "")),
        ("gpt2", lambda tensors: renamed("transformer.", "")(tensors) | {"h.0.attn.bias": torch.ones(1, 1, 64, 64)}),
        ("llama", and_also(model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4))),
    ],
    ids=["without the prefix", "masks of old", "rotary tables of old"],
)
def test_what_transformers_knows_how_to_read_is_complete(
    changed: Callable[..., Path], kind: str, change: Callable[[Weights], Weights]
) -> None:
    """Its own ways with old and other checkpoints are the measure."""
    check(changed(kind, change))


@pytest.mark.parametrize("names", [("v_head.summary.weight",), ("model.layers.2.eh_proj.weight", "model.layers.2.a")])
def test_what_lies_beside_the_language_model_is_said_and_left_out(
    changed: Callable[..., Path], caplog: pytest.LogCaptureFixture, names: tuple[str, ...]
) -> None:
    """Heads and layers that only helped to train change no row."""
    folder = changed("llama", lambda tensors: tensors | {name: torch.ones(3) for name in names})
    with caplog.at_level(logging.WARNING):
        check(folder)
    assert all(name in caplog.text for name in names)


def test_layers_that_come_quantised_count_as_there() -> None:
    """They are other tensors under the layer's name; a layer that is not there at all is missing."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGURATIONS["llama"]())
    stored: dict[str, tuple[int, ...]] = {}
    for name, value in model.state_dict().items():
        if "_proj" in name:
            stored[name.replace("weight", "qweight")] = stored[name.replace("weight", "scales")] = (4, 4)
        else:
            stored[name] = tuple(value.shape)
    assert compare(stored, model, quantised=True) == Differences()
    gone = {
        name: shape for name, shape in stored.items() if "layers.1.mlp.up_proj" not in name and "lm_head" not in name
    }
    found = compare(gone, model, quantised=True)
    assert found.missing == ("lm_head.weight", "model.layers.1.mlp.up_proj.weight")


def test_a_process_that_skips_the_placement_refuses_as_well(changed: Callable[..., Path]) -> None:
    """A run that was placed by an earlier version is loaded at once; with 4-bit layers too."""
    folder = str(changed("llama", without("lm_head")))
    for quantization in ("none", "4bit"):
        with pytest.raises(EngineError, match=r"they lack lm_head.weight"):
            load_model(LoadPlan(folder, "float32", quantization))


def test_a_run_ends_with_70_before_it_loads_anything(changed: Callable[..., Path], tmp_path: Path) -> None:
    """And makes no row."""
    outcome = build_dataset("--model", changed("llama", without("lm_head")), "--limit", 2, cwd=tmp_path)
    assert outcome.code == 70, outcome.said
    assert "they lack lm_head.weight" in outcome.said
    assert not list(tmp_path.glob("data/runs/*/placement-*.json"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification, which rates texts"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, an encoder"),
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "an encoder-decoder.*--engine endpoint",
        ),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "which is no language model"),
        ({"model_type": "distilbert", "architectures": None}, "a model of type distilbert, an encoder"),
    ],
)
def test_what_writes_no_text_is_refused_by_its_architecture(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    """In a sentence, without a list of all classes."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
    with pytest.raises(EngineError, match=said) as error:
        skeleton_of(tmp_path)
    assert len(str(error.value)) < 400


def test_a_classifier_has_no_output_layer(tmp_path: Path) -> None:
    """As transformers saves it."""
    config = LlamaConfig(
        vocab_size=260, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="rates texts and has no output layer"):
        skeleton_of(tmp_path)
