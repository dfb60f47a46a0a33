"""Which languages responses seem to be written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from promptmill.report.values import Group

UNCLEAR = "unclear"
_CHARACTERS = 500
# Of a shorter text, or a less certain guess, nothing is claimed.
_SHORTEST = 30
_CERTAIN = 0.8
SHOWN = 6


def languages_of(responses: Iterable[str]) -> tuple[tuple[Group, ...], int]:
    """Languages by ISO 639 code, the most frequent first, and how many responses were long enough to tell."""
    found: Counter[str] = Counter(
        _language(text[:_CHARACTERS]) for text in responses if sum(map(str.isalpha, text[:_CHARACTERS])) >= _SHORTEST
    )
    return tuple(Group(name, rows) for name, rows in found.most_common(SHOWN)), found.total()


def _language(text: str) -> str:
    language, certainty = _identifier().classify(text)
    return str(language) if certainty >= _CERTAIN else UNCLEAR


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
