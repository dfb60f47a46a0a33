"""The tensors of a model from its config alone, for the architectures that people use most.

What transformers would make, to the last value (a test holds both against each other), in the order in
which it makes it. For other architectures the headers of the checkpoint have to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from promptmill.placing.weights import Weight, head_size


@dataclass(frozen=True)
class _Family:
    """How a Llama-like decoder differs from Llama.

    Attributes:
        norms: norms of a layer.
        norm_bias: whether norms have a bias.
        qkv_bias, out_bias, mlp_bias: whether there is one, or the key of the config that says so.
        head_norms: norms of queries and keys, over a `head` or the whole `width`.
        fused: whether queries, keys and values are one matrix, and gate and up as well.
        gated: whether the MLP has a gate.
    """

    norms: int = 2
    norm_bias: bool = False
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    head_norms: str | None = None
    fused: bool = False
    gated: bool = True


_FAMILIES = {
    "llama": _Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"),
    "mistral": _Family(),
    "mixtral": _Family(),
    "qwen2": _Family(qkv_bias=True),
    "qwen2_moe": _Family(qkv_bias=True),
    "qwen3": _Family(qkv_bias="attention_bias", out_bias="attention_bias", head_norms="head"),
    "qwen3_moe": _Family(qkv_bias="attention_bias", out_bias="attention_bias", head_norms="head"),
    "gemma": _Family(qkv_bias="attention_bias", out_bias="attention_bias"),
    "gemma2": _Family(qkv_bias="attention_bias", out_bias="attention_bias", norms=4),
    "gemma3_text": _Family(qkv_bias="attention_bias", out_bias="attention_bias", norms=4, head_norms="head"),
    "granite": _Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"),
    "smollm3": _Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"),
    "olmo2": _Family(qkv_bias="attention_bias", out_bias="attention_bias", head_norms="width"),
    "stablelm": _Family(norm_bias=True, qkv_bias="use_qkv_bias"),
    "starcoder2": _Family(norm_bias=True, qkv_bias="use_bias", out_bias="use_bias", mlp_bias="use_bias", gated=False),
    "phi": _Family(norms=1, norm_bias=True, qkv_bias=True, out_bias=True, mlp_bias=True, gated=False),
    "phi3": _Family(fused=True),
}
_BIAS_UNLESS_SAID = ("use_bias",)


def known_weights(config: Any) -> tuple[Weight, ...] | None:
    """All tensors of a model, tied ones once; None if its architecture is not among those known here."""
    makers = {"gpt2": _gpt2, "gpt_neox": _gpt_neox, "opt": _opt}
    if config.model_type in makers:
        return tuple(makers[config.model_type](config))
    family = _FAMILIES.get(config.model_type)
    return None if family is None else tuple(_decoder(config, family))


def likely_weights(config: Any) -> tuple[Weight, ...]:
    """The same as if the model were like Llama, for want of anything better: a rough count."""
    return tuple(_decoder(config, _FAMILIES["llama"]))


def _decoder(config: Any, family: _Family) -> Iterator[Weight]:
    yield Weight("model.embed_tokens.weight", (config.vocab_size, config.hidden_size))
    for number in range(config.num_hidden_layers):
        layer = f"model.layers.{number}"
        yield from _attention(f"{layer}.self_attn", config, family)
        yield from _feed_forward(f"{layer}.mlp", config, family, number)
        for norm in range(family.norms):
            yield from _norm(f"{layer}.norm{norm}", config.hidden_size, bias=family.norm_bias)
    yield from _norm("model.norm", config.hidden_size, bias=family.norm_bias)
    if not config.tie_word_embeddings:
        yield from _output("lm_head", config, bias=config.model_type == "phi")


def _attention(name: str, config: Any, family: _Family) -> Iterator[Weight]:
    hidden, size, heads = config.hidden_size, head_size(config), config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    bias = _has(config, family.qkv_bias)
    if family.fused:
        yield from _linear(f"{name}.qkv_proj", (heads + 2 * kv_heads) * size, hidden, bias=bias)
    else:
        for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            yield from _linear(f"{name}.{part}_proj", count * size, hidden, bias=bias)
    yield from _linear(f"{name}.o_proj", hidden, heads * size, bias=_has(config, family.out_bias))
    for part, count in (("q", heads), ("k", kv_heads)) if family.head_norms else ():
        yield from _norm(f"{name}.{part}_norm", size * (count if family.head_norms == "width" else 1), bias=False)


def _feed_forward(name: str, config: Any, family: _Family, number: int) -> Iterator[Weight]:
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    step = getattr(config, "decoder_sparse_step", 1) or 1
    plain_layers = getattr(config, "mlp_only_layers", None) or ()
    if experts and number not in plain_layers and (number + 1) % step == 0:
        yield from _experts(name, config, experts)
    else:
        yield from _mlp(name, config.intermediate_size, config, family)


def _experts(name: str, config: Any, count: int) -> Iterator[Weight]:
    hidden, width = config.hidden_size, getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    yield Weight(f"{name}.gate.weight", (count, hidden))
    yield Weight(f"{name}.experts.gate_up_proj", (count, 2 * width, hidden))
    yield Weight(f"{name}.experts.down_proj", (count, hidden, width))
    shared = getattr(config, "shared_expert_intermediate_size", None)
    if shared:
        yield from _mlp(f"{name}.shared_expert", shared, config, _FAMILIES["mistral"])
        yield from _linear(f"{name}.shared_expert_gate", 1, hidden, bias=False)


def _mlp(name: str, width: int, config: Any, family: _Family) -> Iterator[Weight]:
    hidden, bias = config.hidden_size, _has(config, family.mlp_bias)
    if family.fused:
        yield from _linear(f"{name}.gate_up_proj", 2 * width, hidden, bias=bias)
    else:
        for part in ("gate_proj", "up_proj") if family.gated else ("up_proj",):
            yield from _linear(f"{name}.{part}", width, hidden, bias=bias)
    yield from _linear(f"{name}.down_proj", hidden, width, bias=bias)


def _gpt2(config: Any) -> Iterator[Weight]:
    hidden = config.hidden_size
    width = getattr(config, "intermediate_size", None) or 4 * hidden
    yield Weight("transformer.wte.weight", (config.vocab_size, hidden))
    yield Weight("transformer.wpe.weight", (config.max_position_embeddings, hidden))
    for number in range(config.num_hidden_layers):
        layer = f"transformer.h.{number}"
        yield from _norm(f"{layer}.ln_1", hidden, bias=True)
        yield from _linear(f"{layer}.attn.c_attn", 3 * hidden, hidden, bias=True)
        yield from _linear(f"{layer}.attn.c_proj", hidden, hidden, bias=True)
        yield from _norm(f"{layer}.ln_2", hidden, bias=True)
        yield from _linear(f"{layer}.mlp.c_fc", width, hidden, bias=True)
        yield from _linear(f"{layer}.mlp.c_proj", hidden, width, bias=True)
    yield from _norm("transformer.ln_f", hidden, bias=True)
    if not config.tie_word_embeddings:
        yield from _output("lm_head", config)


def _gpt_neox(config: Any) -> Iterator[Weight]:
    hidden = config.hidden_size
    bias = getattr(config, "attention_bias", True)
    yield Weight("gpt_neox.embed_in.weight", (config.vocab_size, hidden))
    for number in range(config.num_hidden_layers):
        layer = f"gpt_neox.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield from _norm(f"{layer}.{norm}", hidden, bias=True)
        yield from _linear(f"{layer}.attention.query_key_value", 3 * hidden, hidden, bias=bias)
        yield from _linear(f"{layer}.attention.dense", hidden, hidden, bias=bias)
        yield from _linear(f"{layer}.mlp.dense_h_to_4h", config.intermediate_size, hidden, bias=True)
        yield from _linear(f"{layer}.mlp.dense_4h_to_h", hidden, config.intermediate_size, bias=True)
    yield from _norm("gpt_neox.final_layer_norm", hidden, bias=True)
    if not config.tie_word_embeddings:
        yield from _output("lm_head", config)


def _opt(config: Any) -> Iterator[Weight]:
    hidden = config.hidden_size
    outside = getattr(config, "word_embed_proj_dim", None) or hidden
    yield Weight("model.decoder.embed_tokens.weight", (config.vocab_size, outside))
    yield Weight("model.decoder.embed_positions.weight", (config.max_position_embeddings + 2, hidden))
    if outside != hidden:
        yield from _linear("model.decoder.project_out", outside, hidden, bias=False)
        yield from _linear("model.decoder.project_in", hidden, outside, bias=False)
    if getattr(config, "do_layer_norm_before", True):
        yield from _norm("model.decoder.final_layer_norm", hidden, bias=True)
    for number in range(config.num_hidden_layers):
        layer = f"model.decoder.layers.{number}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{part}", hidden, hidden, bias=True)
        yield from _norm(f"{layer}.self_attn_layer_norm", hidden, bias=True)
        yield from _linear(f"{layer}.fc1", config.intermediate_size, hidden, bias=True)
        yield from _linear(f"{layer}.fc2", hidden, config.intermediate_size, bias=True)
        yield from _norm(f"{layer}.final_layer_norm", hidden, bias=True)


def _linear(name: str, rows: int, columns: int, *, bias: bool) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (int(rows), int(columns)), linear=True, quantised=True)
    if bias:
        yield Weight(f"{name}.bias", (int(rows),))


def _output(name: str, config: Any, *, bias: bool = False) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (config.vocab_size, config.hidden_size), linear=True)
    if bias:
        yield Weight(f"{name}.bias", (config.vocab_size,))


def _norm(name: str, size: int, *, bias: bool) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (int(size),))
    if bias:
        yield Weight(f"{name}.bias", (int(size),))


def _has(config: Any, what: bool | str) -> bool:
    return bool(getattr(config, what, what in _BIAS_UNLESS_SAID)) if isinstance(what, str) else what
