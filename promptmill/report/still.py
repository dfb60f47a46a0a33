"""A still of the report's main chart for the dataset card: made of the rows alone, the same at each attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from promptmill.files import atomic_write
from promptmill.report.drawing import png
from promptmill.report.values import Lengths

WIDTH = 720
SCALE = 1.5


def write_still(files: Sequence[Path], path: Path) -> None:
    """Draw how long the responses of these Parquet files are, as PNG.

    Text is set in the font that the library brings along, so that the fonts of the machine change no pixel.

    Raises:
        DrawingFailed: charts cannot be drawn on this machine.
        StorageError: it cannot be written.
    """
    from promptmill.report.charts import PRINTED, responses

    image = png(responses(_lengths(files), PRINTED, width=WIDTH), scale=SCALE)
    with atomic_write(path) as temporary:
        temporary.write_bytes(image)


def _lengths(files: Sequence[Path]) -> Lengths:
    found: dict[str, Counter[int]] = {"stop": Counter(), "length": Counter()}
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=["finish_reason", "completion_tokens"]):
            for reason, counts in found.items():
                of_reason = batch.filter(pc.equal(batch["finish_reason"], reason))["completion_tokens"]
                known = pc.value_counts(of_reason.drop_null()).to_pylist()
                counts.update({one["values"]: one["counts"] for one in known})
    return Lengths({}, {reason: dict(counts) for reason, counts in found.items() if counts})
