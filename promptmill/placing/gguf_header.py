"""A config from the header of a GGUF file, without reading its weights."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MODEL_TYPES = {"gemma3": "gemma3_text", "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"}
_KEYS = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "vocab_size": "vocab_size",
}


class _Reader:
    """Reads the values of a GGUF file in order (its format, version 2 and 3)."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def take(self, code: str) -> Any:
        """One value of a fixed size."""
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(code)
        return value

    def text(self) -> str:
        """A string with its length before it."""
        length = self.take("Q")
        start, self._at = self._at, self._at + length
        return self._data[start : self._at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value of one of the format's types; of an array, how many elements it has."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.take(_SCALARS[kind])
        inner, count = self.take("I"), self.take("Q")
        if inner in _SCALARS:
            self._at += count * struct.calcsize(_SCALARS[inner])
        else:
            for _ in range(count):
                self.value(inner)
        return count


def gguf_config(file: Path) -> dict[str, Any]:
    """What config.json would say of the model, by transformers' names.

    Raises:
        EngineError: it is no GGUF file, or is cut.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _config(*_header(_Reader(data)))
    except (struct.error, ValueError, KeyError) as error:
        raise EngineError(f"{file} is no GGUF file, or is cut ({error}). Fetch it again.") from error


def _header(reader: _Reader) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    if reader.take("4s") != _MAGIC:
        raise ValueError("it does not begin with GGUF")
    reader.take("I")  # version
    tensors, pairs = reader.take("Q"), reader.take("Q")
    values = {}
    for _ in range(pairs):
        name = reader.text()
        values[name] = reader.value(reader.take("I"))
    shapes = {}
    for _ in range(tensors):
        name = reader.text()
        shapes[name] = tuple(reader.take("Q") for _ in range(reader.take("I")))
        reader.take("I")  # its type
        reader.take("Q")  # its offset
    return values, shapes


def _config(values: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    architecture = str(values["general.architecture"])
    found = {name: values[key] for part, name in _KEYS.items() if (key := f"{architecture}.{part}") in values}
    return {
        "vocab_size": shapes["token_embd.weight"][-1],
        **found,
        "model_type": _MODEL_TYPES.get(architecture, architecture),
        "tie_word_embeddings": "output.weight" not in shapes,
    }
