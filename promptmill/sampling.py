"""Sampling parameters: the knobs of generation, in Hugging Face's spelling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from promptmill.errors import ConfigurationError

MAX_SEED = 2**63 - 1
_MOST = 2**31 - 1


@dataclass(frozen=True)
class SamplingParameters:
    """How each next token is chosen; all of it changes the bytes of a dataset.

    Attributes:
        max_new_tokens: most tokens of a completion, at least 1.
        temperature: 0 means greedy decoding; otherwise logits are divided by it.
        top_p: nucleus sampling, in (0, 1]; 1 switches it off.
        top_k: the k most likely tokens only; 0 switches it off.
        min_p: tokens at least this fraction as likely as the best one, in [0, 1); 0 is off.
        repetition_penalty: above 1 makes tokens that were seen less likely; 1 is off.
        stop: strings that end a completion; they are not part of it.

    Raises:
        ConfigurationError: a value out of its range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(1 <= self.max_new_tokens <= _MOST, "--max-new-tokens", self.max_new_tokens, f"1 to {_MOST}")
        _require(0 <= self.temperature < 100, "--temperature", self.temperature, "0 (greedy) to 100; 0.7 is common")
        _require(0 < self.top_p <= 1, "--top-p", self.top_p, "above 0 and up to 1 (off)")
        _require(0 <= self.top_k <= _MOST, "--top-k", self.top_k, f"0 (off) to {_MOST}")
        _require(0 <= self.min_p < 1, "--min-p", self.min_p, "0 (off) up to below 1")
        penalty = self.repetition_penalty
        _require(0 < penalty < 100, "--repetition-penalty", penalty, "above 0 and below 100; 1 is off")
        _require(all(map(_is_text, self.stop)), "--stop", ascii(list(self.stop)), "texts that are not empty")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0


def row_seed(run_seed: int, prompt_id: str, sample_index: int) -> int:
    """The seed of one row, 0 to 2**63-1.

    It depends on nothing else, so that a row's randomness is the same in any batch, shard or
    process, and after any restart.
    """
    text = f"{run_seed}\x1f{prompt_id}\x1f{sample_index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") & MAX_SEED


def _is_text(stop: str) -> bool:
    """Whether it is something that a model could write: not nothing, and no half of a surrogate pair."""
    return bool(stop) and not any("\ud800" <= char <= "\udfff" for char in stop)


def _require(holds: bool, option: str, value: object, choices: str) -> None:
    if not holds:
        raise ConfigurationError(f"{option} is {value}; it has to be {choices}.")
