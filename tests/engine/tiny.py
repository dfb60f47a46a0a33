"""Tiny models with random weights, and a tokenizer whose tokens are bytes; made on the spot."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RecurrentGemmaConfig,
    RwkvConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from promptmill.engine.contract import Completion, Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.sampling import SamplingParameters, row_seed

BOS, EOS = 256, 257
VOCABULARY = 260
CONTEXT = 96
WINDOW = 8
SHORT = 20
"""Tokens up to which models with two sets of rotary factors take the short ones."""
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [3.0, 8.0, 20.0, 40.0],
    "original_max_position_embeddings": SHORT,
}
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "[{{ message['role'] }}]{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": None,
    "initializer_range": 0.5,
}
_WIDE = {**_SIZES, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
"""Heads of 32 values: vLLM has no smaller ones on a CPU."""

CONFIGURATIONS: dict[str, Any] = {
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=64,
        n_layer=2,
        n_head=2,  # of 32 values each: vLLM has no smaller ones on a CPU
        n_positions=CONTEXT,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=0.5,
    ),
    "llama": lambda: LlamaConfig(**_SIZES),
    "wide llama": lambda: LlamaConfig(**_WIDE),
    "qwen2": lambda: Qwen2Config(**_SIZES),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=8),
    "gemma2": lambda: Gemma2Config(**_SIZES, head_dim=8, sliding_window=WINDOW, query_pre_attn_scalar=8),
    "gemma3": lambda: Gemma3TextConfig(**_SIZES, head_dim=8, sliding_window=WINDOW, query_pre_attn_scalar=8),
    "mistral": lambda: MistralConfig(**_SIZES, sliding_window=WINDOW),
    "llama longrope": lambda: LlamaConfig(
        **_SIZES, head_dim=8, rope_parameters={**LONGROPE, "factor": CONTEXT / SHORT}
    ),
    "llama dynamic": lambda: LlamaConfig(
        **_SIZES, head_dim=8, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    ),
    "phi3": lambda: Phi3Config(**_SIZES, original_max_position_embeddings=SHORT, rope_parameters=LONGROPE),
    "phi3 window": lambda: Phi3Config(
        **_SIZES, original_max_position_embeddings=SHORT, rope_parameters=LONGROPE, sliding_window=WINDOW
    ),
    "llama4": lambda: Llama4TextConfig(
        **_SIZES,
        intermediate_size_mlp=48,
        head_dim=8,
        num_local_experts=2,
        attention_chunk_size=WINDOW,
        floor_scale=WINDOW,
        no_rope_layers=[1, 0],
    ),
    "phi": lambda: PhiConfig(**_SIZES),
    "mixtral": lambda: MixtralConfig(**_SIZES, num_local_experts=4),
    "opt": lambda: OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        word_embed_proj_dim=32,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=1,
        init_std=0.5,
    ),
    "bloom": lambda: BloomConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=0.5,
    ),
    "mamba": lambda: MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        state_size=4,
        num_hidden_layers=2,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=0,
        initializer_range=0.5,
    ),
    "recurrent_gemma": lambda: RecurrentGemmaConfig(
        **{**_SIZES, "num_key_value_heads": 1},
        lru_width=32,
        head_dim=8,
        attention_window_size=WINDOW,
        block_types=["recurrent", "attention"],
    ),
    "rwkv": lambda: RwkvConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        attention_hidden_size=32,
        num_hidden_layers=2,
        context_length=CONTEXT,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=0.5,
    ),
}
RECURRENT = {"mamba", "recurrent_gemma", "rwkv"}
"""Those whose state is no list of positions; of the last two, not even the cache can be used from outside."""


def tiny_model(kind: str = "llama") -> Any:
    """A model of this architecture, always with the same weights."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(CONFIGURATIONS[kind]()).float().eval()
    model.generation_config.eos_token_id = [EOS]
    return model


def byte_tokenizer() -> Any:
    """A token a byte, then BOS and EOS, a few words of several bytes, and no pad token."""
    alphabet = _bytes_to_unicode()
    tokenizer = Tokenizer(models.BPE(vocab={character: byte for byte, character in alphabet.items()}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<|end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=CHAT_TEMPLATE
    )


def _bytes_to_unicode() -> dict[int, str]:
    """GPT-2's readable characters for bytes, in the order of the bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(rest)}


def prompts(count: int, *, longest: int = 30, seed: int = 1) -> list[str]:
    """Prompts of random lengths from 1 on."""
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefgh .", k=chance.randint(1, longest))) for _ in range(count)]


def requests(texts: Iterable[str], run_seed: int = 0) -> list[Request]:
    """A request a text, each with a seed of its own."""
    return [Request(place, row_seed(run_seed, str(place), 0), prompt=text) for place, text in enumerate(texts)]


def run(engine: TransformersEngine, asked: Iterable[Request]) -> list[Completion]:
    """All completions, in the order of the requests."""
    return sorted(engine.generate(asked, lambda: False), key=lambda completion: completion.position)


def greedy(max_new_tokens: int = 12, **other: Any) -> SamplingParameters:
    """Greedy decoding."""
    return SamplingParameters(max_new_tokens=max_new_tokens, temperature=0, top_p=1, **other)
