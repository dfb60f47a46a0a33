"""Counting over every row in one stream: eight bytes a row, and the sample, are all that is kept."""

from __future__ import annotations

import random
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from promptmill.report.refusals import look_like_refusals
from promptmill.report.rows import RowSource, is_blank
from promptmill.report.values import Counts, Group, Lengths

SAMPLE_ROWS = 20_000
SAMPLE_CHARACTERS = 4_000
SHOWN_GROUPS = 5
_ERROR_CHARACTERS = 300
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class RowCounter:
    """What one pass over the rows finds."""

    def __init__(self, source: RowSource, total: int) -> None:
        self._source = source
        self._total = total
        self._rows = self._blank = self._refusals = 0
        self._tokens = [0, 0]
        self._reasons: Counter[str] = Counter()
        self._prompts: Counter[int] = Counter()
        self._responses: dict[str, Counter[int]] = {}
        self._errors: Counter[str] = Counter()
        self._hashes = array("q")
        self._chosen = sampled_indices(source.rows, SAMPLE_ROWS)
        self.sample: list[str] = []
        """Responses that were sampled, each cut to `SAMPLE_CHARACTERS`."""

    def count(self) -> Counts:
        """Read every row."""
        for batch in self._source.batches():
            self._add(batch)
        copies, copied = self._duplicates()
        return Counts(
            total=self._total,
            rows=self._rows,
            reasons=dict(self._reasons),
            prompt_tokens=self._tokens[0],
            completion_tokens=self._tokens[1],
            lengths=Lengths(dict(self._prompts), {name: dict(counts) for name, counts in self._responses.items()}),
            errors=tuple(Group(text, rows) for text, rows in self._errors.most_common(SHOWN_GROUPS)),
            blank=self._blank,
            refusals=self._refusals,
            copies=copies,
            copied=copied,
        )

    def _add(self, batch: pa.RecordBatch) -> None:
        self._tokens[0] += pc.sum(batch["prompt_tokens"]).as_py() or 0
        self._tokens[1] += pc.sum(batch["completion_tokens"]).as_py() or 0
        failed = pc.equal(batch["finish_reason"], "error")
        self._errors.update(map(_essence, batch.filter(failed)["error"].to_pylist()))
        good = batch.filter(pc.invert(failed))
        self._add_lengths(good)
        self._reasons["error"] += batch.num_rows - good.num_rows
        self._add_texts(good["response"])
        # Indices of the sample are those of the stream, rows with an error included.
        within = [index - self._rows for index in self._chosen_below(self._rows + batch.num_rows)]
        picked = batch.take(pa.array(within, pa.int64()))
        picked = picked.filter(pc.not_equal(picked["finish_reason"], "error"))["response"]
        filled = picked.filter(pc.invert(is_blank(picked)))
        self.sample += pc.utf8_slice_codeunits(filled, 0, SAMPLE_CHARACTERS).to_pylist()
        self._rows += batch.num_rows

    def _add_lengths(self, good: pa.RecordBatch) -> None:
        self._prompts.update(_counted(good["prompt_tokens"]))
        for reason, rows in _counted(good["finish_reason"]).items():
            self._reasons[reason] += rows
            of_reason = good.filter(pc.equal(good["finish_reason"], reason))
            self._responses.setdefault(reason, Counter()).update(_counted(of_reason["completion_tokens"]))

    def _add_texts(self, responses: pa.Array) -> None:
        filled = responses.filter(pc.invert(is_blank(responses)))
        self._blank += len(responses) - len(filled)
        self._refusals += pc.sum(look_like_refusals(filled)).as_py() or 0
        # Python's own hash has 64 bits and is salted for each process: good enough, as none is kept.
        self._hashes.extend(map(hash, filled.to_pylist()))

    def _chosen_below(self, end: int) -> Iterator[int]:
        while self._chosen and self._chosen[-1] < end:
            yield self._chosen.pop()

    def _duplicates(self) -> tuple[int, tuple[Group, ...]]:
        hashes = np.frombuffer(self._hashes, np.int64)
        values, counts = np.unique(hashes, return_counts=True)
        copies = len(hashes) - len(values)
        if not copies:
            return 0, ()
        largest = np.argsort(-counts)[:SHOWN_GROUPS]
        wanted = {int(values[at]): int(counts[at]) for at in largest if counts[at] > 1}
        texts = self._texts_of(set(wanted))
        return copies, tuple(Group(texts[value], rows) for value, rows in wanted.items() if value in texts)

    def _texts_of(self, hashes: set[int]) -> dict[int, str]:
        """The responses that have these hashes; most are found in the first rows of a second pass."""
        found: dict[int, str] = {}
        for batch in self._source.batches():
            good = batch.filter(pc.not_equal(batch["finish_reason"], "error"))
            for text in good["response"].to_pylist():
                if (value := hash(text)) in hashes:
                    found.setdefault(value, text)
            if len(found) == len(hashes):
                break
        return found


def sampled_indices(rows: int, most: int) -> list[int]:
    """At most so many places in a stream of rows, the last first; the same ones for the same number of rows."""
    chosen = range(rows) if rows <= most else random.Random(0).sample(range(rows), most)
    return sorted(chosen, reverse=True)


def _counted(values: pa.Array) -> dict[Any, int]:
    """How often each value comes, what is not known left out."""
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values.drop_null()).to_pylist()}


def _essence(error: str | None) -> str:
    """An error without its numbers, so that rows which failed for the same reason count as one."""
    return _NUMBER.sub("#", (error or "no reason was given")[:_ERROR_CHARACTERS])
