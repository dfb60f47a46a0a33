"""What is known of a model without torch, against what transformers makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from promptmill.demo import demo_gguf
from promptmill.errors import ConfigurationError, EngineError
from promptmill.fitting.model import Source, known_model
from promptmill.placing.gguf_header import gguf_config
from promptmill.placing.headers import StoredTensor
from promptmill.placing.memory import ModelShape, weight_bytes
from promptmill.placing.shape import skeleton
from promptmill.placing.text_config import text_config
from tests.fit.models import published, saved
from tests.placing.models import PUBLISHED, skeleton_named

_IDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
_SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 500, **_IDS}
_ALIKE = {**_SMALL, "intermediate_size": 160, "num_key_value_heads": 2}
_EXPERTS = {**_ALIKE, "moe_intermediate_size": 32, "num_experts": 4}
KNOWN: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 500, **_IDS},
    "gpt_neox": {**_SMALL, "intermediate_size": 160},
    "opt": {**_SMALL, "ffn_dim": 160, "word_embed_proj_dim": 32},
    "phi": {**_SMALL, "intermediate_size": 160},
    "qwen3": {**_ALIKE, "head_dim": 16},
    "gemma": {**_ALIKE, "head_dim": 16},
    "gemma2": {**_ALIKE, "head_dim": 16},
    "gemma3_text": {**_ALIKE, "head_dim": 16},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 64},
    "qwen3_moe": {**_EXPERTS, "head_dim": 16},
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "qwen2", "phi3", "olmo2", "smollm3", "granite", "starcoder2", "stablelm"),
        _ALIKE,
    ),
}
"""Architectures that a config alone describes."""
HEADERS_ALONE: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 500, **_IDS},
    "falcon": _SMALL,
    "cohere": _ALIKE,
    "olmoe": {**_ALIKE, "num_experts": 4},
    "gpt_oss": {**_ALIKE, "num_local_experts": 4, "head_dim": 16},
    "granitemoe": {**_ALIKE, "num_local_experts": 4},
}
"""Others, of which headers tell the rest."""


def _same(found: ModelShape, expected: ModelShape) -> bool:
    """Equal, save for a few hundred bytes of rotary tables.

    What the sums of such a shape come to is held against PyTorch's allocator in tests/placing/test_memory.py.
    """
    buffers = abs(found.buffer_bytes - expected.buffer_bytes)
    return buffers < 512 and replace(found, buffer_bytes=0) == replace(expected, buffer_bytes=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name: str) -> None:
    """To the last one, with transformers and from the config alone; and all else is the same for both."""
    plain, made = published(name).shape, skeleton_named(name).shape
    assert plain.parameters == made.parameters == PUBLISHED[name]
    assert _same(plain, made)


@pytest.mark.parametrize("kind", {**KNOWN, **HEADERS_ALONE})
def test_config_and_headers_say_what_transformers_makes(kind: str, tmp_path: Path) -> None:
    """Parameters, what is quantised, the KV cache and the widest activations, to the last value."""
    config = AutoConfig.for_model(kind, **{**KNOWN, **HEADERS_ALONE}[kind])
    expected = skeleton(config).shape
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert _same(saved(tmp_path).shape, expected)
    (tmp_path / "model.safetensors").unlink()
    if kind in KNOWN:
        assert _same(saved(tmp_path).shape, expected)
    else:
        with pytest.raises(ConfigurationError, match=f"{kind}.*headers of safetensors"):
            saved(tmp_path)


def test_what_old_checkpoints_hold_beside_the_weights_is_not_counted(tmp_path: Path) -> None:
    """GPT-2 on the Hub has its masks in the file, no prefix to the names, and could have the tied output layer."""
    config = AutoConfig.for_model("gpt2", **KNOWN["gpt2"])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    mask = tensors["wpe.weight"].new_ones(1, 1, 64, 64)
    extra = {f"h.{number}.attn.bias": mask.clone() for number in range(2)}
    save_file({**tensors, **extra, "lm_head.weight": tensors["wte.weight"].clone()}, file)
    assert _same(saved(tmp_path).shape, skeleton(config).shape)


def test_layers_that_only_help_to_train_are_not_counted(tmp_path: Path) -> None:
    """A layer beyond those of the config is not loaded."""
    config = AutoConfig.for_model("llama", **_ALIKE)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**written, "num_hidden_layers": 1}))
    one = AutoConfig.for_model("llama", **{**_ALIKE, "num_hidden_layers": 1})
    assert _same(saved(tmp_path).shape, skeleton(one).shape)


def test_weights_that_come_quantised_are_as_large_as_their_files() -> None:
    """The bytes are those of the headers, whatever dtype is asked for; the rest comes from the config."""
    config = {**published("qwen2.5-0.5b").source.config, "quantization_config": {"quant_method": "awq", "bits": 4}}
    tensors = [StoredTensor("model.layers.0.mlp.up_proj.qweight", "I32", (896, 608), 300_000_000)]
    model = known_model(Source("q", "q", "hub", None, config, tensors))
    assert (model.quantization, model.is_packed, model.stored_dtype) == ("awq-4bit", True, "I32")
    assert weight_bytes(model.shape, "float16", "awq-4bit") - model.shape.buffer_bytes == 300_000_000
    assert model.shape.parameters == PUBLISHED["qwen2.5-0.5b"]
    assert model.exact
    other = known_model(Source("q", "q", "hub", None, {**config, "model_type": "brand_new"}, tensors))
    assert (other.exact, other.stored_bytes) == (False, 300_000_000)


def test_a_gguf_file_is_unpacked() -> None:
    """Its values take as much as any others once they are loaded."""
    shape = published("smollm2-135m").shape
    assert weight_bytes(shape, "float16", "gguf") == weight_bytes(shape, "float16", "none")


def test_a_config_that_lacks_its_sizes_is_refused_by_name() -> None:
    """With what is missing."""
    with pytest.raises(ConfigurationError, match="lacks vocab_size and hidden_size"):
        text_config({"model_type": "llama", "num_hidden_layers": 2})


def test_a_config_that_lacks_a_part_is_refused_by_name() -> None:
    """Not with a traceback."""
    config = {key: value for key, value in published("llama-2-7b").source.config.items() if key != "intermediate_size"}
    with pytest.raises(ConfigurationError, match="lacks intermediate_size"):
        known_model(Source("m", "m", "local", None, config, None))


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    """Also one that is cut."""
    for content in (b"no such thing", demo_gguf().read_bytes()[:1000]):
        file = tmp_path / "model.gguf"
        file.write_bytes(content)
        with pytest.raises(EngineError, match="no GGUF file, or is cut"):
            gguf_config(file)


def test_the_text_part_of_a_larger_model_counts() -> None:
    """Gemma 3 leaves most of its text config to defaults."""
    config = text_config(
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 2560,
         "num_hidden_layers": 34, "intermediate_size": 10_240, "sliding_window": 1024}}
    )  # fmt: skip
    assert (config.vocab_size, config.head_dim, config.num_key_value_heads) == (262_208, 256, 4)
    assert config.layer_types.count("full_attention") == 5
    assert config.tie_word_embeddings
