"""What is measured on the sample of responses: what resembles what, openings, variety, languages."""

from __future__ import annotations

import random
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from promptmill.report.languages import languages_of
from promptmill.report.values import Group, Sampled

SIMILARITY = 0.8
DISTINCT_ROWS = 10_000
LANGUAGE_ROWS = 2_000
OPENING_WORDS = 4
SHOWN = 8
SHOWN_GROUPS = 5
_PERMUTATIONS = 128
_BANDS = 16
_SHINGLE = 3
# A word; scripts that write no spaces count by the character.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|\w+")


def measure_sample(responses: Sequence[str]) -> Sampled:
    """Measure responses that are not blank; at most some ten thousand of them."""
    of_variety = set(random.Random(1).sample(range(len(responses)), min(DISTINCT_ROWS, len(responses))))
    groups, variety = _Groups(), _Variety()
    for number, text in enumerate(responses):
        # One text at a time: the words of all would take ten times the memory of their texts.
        words = _WORD.findall(text.lower())
        groups.add(text, words)
        if number in of_variety:
            variety.add(words)
    every = max(1, len(responses) // LANGUAGE_ROWS)
    languages, language_rows = languages_of(responses[::every][:LANGUAGE_ROWS])
    return Sampled(
        rows=len(responses),
        near=groups.near,
        resembling=groups.largest(),
        openings=_openings(responses),
        distinct=variety.shares,
        distinct_rows=len(of_variety),
        languages=languages,
        language_rows=language_rows,
    )


class _Groups:
    """Responses that resemble the first of their group.

    MinHash over runs of three words; candidates come from banding, and are compared by their
    estimated Jaccard similarity. The index holds the first of each group alone, so that a sample
    of one text only costs no more than another.
    """

    def __init__(self) -> None:
        from rensa import RMinHashLSH

        self._index = RMinHashLSH(threshold=SIMILARITY, num_perm=_PERMUTATIONS, num_bands=_BANDS)
        self._firsts: list[tuple[str, Any]] = []
        self._sizes: Counter[int] = Counter()

    def add(self, text: str, words: list[str]) -> None:
        from rensa import RMinHash

        minhash = RMinHash(num_perm=_PERMUTATIONS, seed=42)
        minhash.update([" ".join(gram) for gram in _grams(words, _SHINGLE)] or [" ".join(words) or text])
        alike = (first for first in self._index.query(minhash) if minhash.jaccard(self._firsts[first][1]) >= SIMILARITY)
        group = next(alike, len(self._firsts))
        if group == len(self._firsts):
            self._index.insert(group, minhash)
            self._firsts.append((text, minhash))
        self._sizes[group] += 1

    @property
    def near(self) -> int:
        """Responses that are not alone in their group."""
        return sum(rows for rows in self._sizes.values() if rows > 1)

    def largest(self) -> tuple[Group, ...]:
        """The largest groups, each by its first response."""
        largest = self._sizes.most_common(SHOWN_GROUPS)
        return tuple(Group(self._firsts[first][0], rows) for first, rows in largest if rows > 1)


class _Variety:
    """Distinct n-grams by all n-grams (Li et al. 2016, arXiv 1510.03055), over the whole sample."""

    def __init__(self) -> None:
        self._hashes = {size: array("q") for size in (1, 2, 3)}

    def add(self, words: list[str]) -> None:
        for size, hashes in self._hashes.items():
            hashes.extend(map(hash, _grams(words, size)))

    @property
    def shares(self) -> tuple[float | None, float | None, float | None]:
        """For one, two and three words; None where there is no such run of words."""
        return self._share(1), self._share(2), self._share(3)

    def _share(self, size: int) -> float | None:
        hashes = self._hashes[size]
        if not hashes:
            return None
        return len(np.unique(np.frombuffer(hashes, np.int64))) / len(hashes)


def _openings(responses: Sequence[str]) -> tuple[Group, ...]:
    begins = Counter(" ".join(text[:200].split()[:OPENING_WORDS]) for text in responses)
    return tuple(Group(text, rows) for text, rows in begins.most_common(SHOWN) if rows > 1)


def _grams(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)
