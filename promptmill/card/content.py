"""What the card tells of the rows themselves: features, counts, lengths, and a few of them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from promptmill.card.markdown import block, cut, table
from promptmill.columns import shown_answer, shown_prompt

_SAMPLES = 3
_SHOWN = 400
_QUANTILES = {"shortest": 0.0, "median": 0.5, "90 %": 0.9, "longest": 1.0}


def dataset_info(files: Sequence[Path]) -> dict[str, Any] | None:
    """Features and counts as `datasets` reads them from a card; None where it has no name for a type."""
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    rows, size = (sum(counts) for counts in zip(*map(_rows_and_bytes, files), strict=True))
    split = SplitInfo("train", num_bytes=size, num_examples=rows)
    download = sum(file.stat().st_size for file in files)
    card = DatasetCardData()
    try:
        features = Features.from_arrow_schema(pq.read_schema(files[0]))
        info = DatasetInfo(
            features=features, splits=SplitDict({"train": split}), download_size=download, dataset_size=size
        )
        DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # prompts that a version before this one prepared: the dataset is complete all the same
    found: dict[str, Any] = card.to_dict()["dataset_info"]  # type: ignore[no-untyped-call]
    return found


def _rows_and_bytes(file: Path) -> tuple[int, int]:
    # One footer in memory at a time: those of a thousand files take more than all the rest.
    footer = pq.read_metadata(file)
    return footer.num_rows, sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))


def lengths(files: Sequence[Path]) -> str:
    """How long prompts and completions are, in tokens; rows that could not be generated are left out."""
    counted: dict[str, Counter[int]] = {"prompt_tokens": Counter(), "completion_tokens": Counter()}
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=["finish_reason", *counted]):
            good = batch.filter(pc.not_equal(batch["finish_reason"], "error"))
            for name, counts in counted.items():
                known = pc.value_counts(good[name].drop_null()).to_pylist()
                counts.update({entry["values"]: entry["counts"] for entry in known})
    rows = [[name.replace("_", " "), *_quantiles(counts)] for name, counts in counted.items()]
    return table(["", *_QUANTILES], rows)


def samples(files: Sequence[Path]) -> str:
    """The first rows, cut."""
    first = next(pq.ParquetFile(files[0]).iter_batches(batch_size=_SAMPLES), None) if files else None
    return "\n\n".join(_sample(row) for row in (first.to_pylist() if first is not None else []))


def _quantiles(counts: Counter[int]) -> list[str]:
    """From how often each length comes: memory for the lengths there are, not for the rows."""
    if not counts:
        return ["–"] * len(_QUANTILES)
    lengths = sorted(counts)
    ends = list(accumulate(counts[length] for length in lengths))
    return [f"{lengths[bisect_right(ends, int(share * (ends[-1] - 1)))]:,}" for share in _QUANTILES.values()]


def _sample(row: dict[str, Any]) -> str:
    given = shown_prompt(row)
    prompt = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    end = "not generated" if row["finish_reason"] == "error" else f"finish_reason {row['finish_reason']}"
    return f"Prompt:\n\n{block(cut(prompt, _SHOWN))}\n\nResponse ({end}):\n\n{block(cut(shown_answer(row), _SHOWN))}"
