"""Vision-language models: transformers loads them by another class, and their text is generated as any model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from promptmill.engine.loading import LoadPlan, load_model
from promptmill.engine.transformers import TransformersEngine
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.completeness import require_all_weights
from promptmill.placing.shape import skeleton_of
from promptmill.rendering import EARLIEST
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer, greedy, prompts, requests, run

TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": None,
    "initializer_range": 0.5,
}
VISION = {"hidden_size": 32, "intermediate_size": 48, "patch_size": 14}


def gemma3() -> Any:
    """An image encoder beside a model with sliding windows."""
    text = {**TEXT, "head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}
    vision = {**VISION, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 28}
    return Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4))


def qwen2_5_vl() -> Any:
    """Positions of three kinds, which are the same for text."""
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10_000.0}
    vision = {**VISION, "depth": 1, "num_heads": 4, "out_hidden_size": 32}
    config = Qwen2_5_VLConfig(text_config={**TEXT, "rope_parameters": rope}, vision_config=vision)
    return Qwen2_5_VLForConditionalGeneration(config)


@pytest.mark.parametrize("make", [gemma3, qwen2_5_vl])
def test_its_text_is_what_it_generates_alone(tmp_path: Path, make: Any) -> None:
    """Greedy rows of a batch are those of `generate`, one at a time; all of the checkpoint is the model's."""
    torch.manual_seed(0)
    make().save_pretrained(tmp_path)
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    require_all_weights(inspect_checkpoint(tmp_path), skeleton_of(tmp_path).model)
    model = load_model(LoadPlan(str(tmp_path), "float32")).model
    texts = prompts(6)
    # Random tokens end in halves of characters, which later rules leave out of the response.
    rows = run(TransformersEngine(model, tokenizer, greedy(8), rendering=EARLIEST), requests(texts))
    for text, row in zip(texts, rows, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        alone = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=0
        )
        assert row.response == tokenizer.decode(alone[0, ids.shape[1] :], skip_special_tokens=True)
