"""What a model's generation configuration forbids or forces: tokens that must not come, or must.

Applied by transformers' own processors, to each row by itself, in the order in which `generate` applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from promptmill.engine.contract import Request
from promptmill.engine.generation_config import CONSTRAINTS
from promptmill.engine.rows import Row
from promptmill.errors import EngineError

_OFF = {"no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0}


def constraints_in(generation_config: Any) -> dict[str, Any]:
    """The settings of a generation configuration that forbid or force tokens, without those that are off."""
    values = {name: getattr(generation_config, name, None) for name in CONSTRAINTS}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != _OFF.get(name) and value not in ([], {}, ())
    }


def stop_strings(generation_config: Any) -> tuple[str, ...]:
    """The strings at which the model's own configuration ends a completion."""
    given = getattr(generation_config, "stop_strings", None) or ()
    return (given,) if isinstance(given, str) else tuple(map(str, given))


class Constraints:
    """The processors of one model's generation configuration."""

    def __init__(self, generation_config: Any, ends: Iterable[int]) -> None:
        """`ends` are the ids that end a row.

        Raises:
            EngineError: a setting has a value that transformers does not take.
        """
        self._settings = constraints_in(generation_config)
        self._ends = sorted(ends)
        self._shared: dict[str, Any] = {}
        row = Row(Request(position=0, seed=0, prompt=""), [0], 1)
        for name, value in self._settings.items():
            try:
                self._processor(name, row, torch.device("cpu"))
            except (ValueError, TypeError, RuntimeError, LookupError) as error:
                raise EngineError(
                    f"generation_config.json has {name} {str(value)[:80]}, which transformers does not take: {error}. "
                    "Correct the file, or take the line out of it."
                ) from error
        self._shared.clear()

    @property
    def any(self) -> bool:
        """Whether there is anything to honour."""
        return bool(self._settings)

    def biased(self, scores: Tensor, rows: Sequence[Row]) -> Tensor:
        """Scores of shape [rows, vocabulary], before the repetition penalty."""
        return self._applied(("sequence_bias",), scores, rows)

    def applied(self, scores: Tensor, rows: Sequence[Row]) -> Tensor:
        """Scores of shape [rows, vocabulary], after the repetition penalty."""
        return self._applied(CONSTRAINTS[1:], scores, rows)

    def _applied(self, names: Sequence[str], scores: Tensor, rows: Sequence[Row]) -> Tensor:
        given = [name for name in names if name in self._settings]
        if not given:
            return scores
        done = []
        for row, score in zip(rows, scores, strict=True):
            ids, of_row = torch.tensor([row.tokens], device=scores.device), score[None]
            for name in given:
                of_row = self._processor(name, row, scores.device)(ids, of_row)
            done.append(of_row)
        return torch.cat(done)

    def _processor(self, name: str, row: Row, device: torch.device) -> Callable[[Any, Any], Any]:
        """One that depends on the row is made for it; the others once."""
        make = _MAKERS[name]
        value, ends = self._settings[name], torch.tensor(self._ends, device=device)
        if name in _OF_ROW:
            return make(value, ends, row)
        if name not in self._shared:
            self._shared[name] = make(value, ends, row)
        processor: Callable[[Any, Any], Any] = self._shared[name]
        return processor


def _of(name: str, *arguments: Any, **options: Any) -> Callable[[Any, Any], Any]:
    from transformers.generation import logits_process

    made: Callable[[Any, Any], Any] = getattr(logits_process, name)(*arguments, **options)
    return made


_OF_ROW = frozenset(
    {"min_new_tokens", "forced_eos_token_id", "exponential_decay_length_penalty", "begin_suppress_tokens"}
)
_MAKERS: dict[str, Callable[[Any, Tensor, Row], Callable[[Any, Any], Any]]] = {
    "sequence_bias": lambda value, ends, row: _of("SequenceBiasLogitsProcessor", value),
    "no_repeat_ngram_size": lambda value, ends, row: _of("NoRepeatNGramLogitsProcessor", value),
    "bad_words_ids": lambda value, ends, row: _of("NoBadWordsLogitsProcessor", value, eos_token_id=ends),
    "min_length": lambda value, ends, row: _of("MinLengthLogitsProcessor", value, ends, device=ends.device),
    "min_new_tokens": lambda value, ends, row: _of(
        "MinNewTokensLengthLogitsProcessor", len(row.prompt), value, ends, device=ends.device
    ),
    "forced_bos_token_id": lambda value, ends, row: _of("ForcedBOSTokenLogitsProcessor", value),
    "forced_eos_token_id": lambda value, ends, row: _of(
        "ForcedEOSTokenLogitsProcessor", row.reserve, value, device=ends.device
    ),
    "exponential_decay_length_penalty": lambda value, ends, row: _of(
        "ExponentialDecayLengthPenalty", value, ends, len(row.prompt)
    ),
    "suppress_tokens": lambda value, ends, row: _of("SuppressTokensLogitsProcessor", value, device=ends.device),
    "begin_suppress_tokens": lambda value, ends, row: _of(
        "SuppressTokensAtBeginLogitsProcessor", value, len(row.prompt), device=ends.device
    ),
}
