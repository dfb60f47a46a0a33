"""What is prepared can be loaded by `datasets`, or is refused by name before a row is generated."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill.errors import InvalidRows
from promptmill.prompts import PromptOptions, prepare_prompts

_MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5)
VALUES: dict[pa.DataType, Any] = {
    pa.null(): None,
    pa.bool_(): True,
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64()), 1),
    **dict.fromkeys((pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()), 1),
    **dict.fromkeys((pa.float32(), pa.float64()), 0.5),
    **dict.fromkeys((pa.string(), pa.large_string(), pa.string_view()), "text"),
    **dict.fromkeys((pa.binary(), pa.large_binary(), pa.binary(4), pa.binary_view()), b"four"),
    **{kind: _MOMENT.date() for kind in (pa.date32(), pa.date64())},
    **{kind: _MOMENT.time() for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))},
    **{pa.timestamp(unit): _MOMENT for unit in ("ms", "us", "ns")},
    pa.timestamp("us", "Europe/Berlin"): _MOMENT,
    pa.duration("us"): datetime.timedelta(seconds=1),
    **{kind: decimal.Decimal("1.25") for kind in (pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(20, 2))},
    pa.decimal256(50, 2): decimal.Decimal("1.25"),
    pa.dictionary(pa.int32(), pa.string()): "text",
    pa.uuid(): uuid.UUID(int=7),
    pa.list_(pa.int64()): [1, 2],
    pa.large_list(pa.int64()): [1, 2],
    pa.list_(pa.float32(), 2): [0.5, 1.0],
    pa.map_(pa.string(), pa.int64()): [("key", 1)],
    pa.struct([("_type", pa.string()), ("dtype", pa.int64())]): {"_type": "message", "dtype": 1},
}
LOOKS_OTHERWISE = {
    pa.uuid(): str(uuid.UUID(int=7)),
    pa.map_(pa.string(), pa.int64()): [{"key": "key", "value": 1}],
    pa.struct([("_type", pa.string()), ("dtype", pa.int64())]): {"input__type": "message", "dtype": 1},
}


def _nested(kind: pa.DataType, value: Any) -> dict[str, tuple[pa.DataType, Any]]:
    return {
        "": (kind, value),
        " in a list": (pa.list_(kind), [value]),
        " in an object": (pa.struct([("inner", kind)]), {"inner": value}),
        " in a map": (pa.map_(pa.string(), kind), [("key", value)]),
    }


def test_every_type_is_loaded_as_it_was_or_refused(tmp_path: Path) -> None:
    """By itself, and in a list, an object and a map; the refused ones are few, and none of them reaches a dataset."""
    refused, columns, expected = set(), {}, {}
    for kind, value in VALUES.items():
        right = LOOKS_OTHERWISE.get(kind, value)
        results = (right, [right], {"inner": right}, [{"key": "key", "value": right}])
        for (where, (whole, given)), result in zip(_nested(kind, value).items(), results, strict=True):
            name, source = f"{kind}{where}", tmp_path / "one.parquet"
            try:
                column = pa.array([given], whole)
                pq.write_table(pa.table({"prompt": ["hello"], name: column}), source)
            except (pa.ArrowException, TypeError, ValueError):
                continue  # no such file can be
            try:
                prepare_prompts(PromptOptions(str(source)), tmp_path / "prepared.parquet")
            except InvalidRows as error:
                refused.add(str(kind) if name in str(error) else str(error))
                continue
            columns[name], expected[name] = pq.read_table(tmp_path / "prepared.parquet").column(name), result
    assert len(columns) > 100
    assert refused <= {"time64[ns]", "binary_view", "string_view"}
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "all.parquet"), cache_dir=str(tmp_path / "c"))
    row = loaded["train"].with_format("arrow")[0]
    assert row.num_columns == len(columns)
    for name, result in expected.items():
        if "timestamp" not in name:  # pandas' own at nanoseconds, with a zone in others
            assert row.column(name).to_pylist() == [result], name


@pytest.mark.parametrize("key", ["k\0", "nested"])
def test_a_nul_in_a_key_is_refused_by_name(key: str, tmp_path: Path) -> None:
    """Parquet would be written, and nobody could read it."""
    row = {"prompt": "a", key: {"in\0ner": 1} if key == "nested" else 1}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InvalidRows, match="NUL"):
        prepare_prompts(PromptOptions(str(tmp_path / "p.jsonl")), tmp_path / "prepared.parquet")


def test_a_key_of_datasets_own_is_renamed(tmp_path: Path) -> None:
    """As a column and within one; what features look like is described with it."""
    row = {"prompt": "a", "_type": "x", "meta": {"_type": "y", "input__type": "z"}}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    prepare_prompts(PromptOptions(str(tmp_path / "p.jsonl")), tmp_path / "prepared.parquet")
    (found,) = pq.read_table(tmp_path / "prepared.parquet").to_pylist()
    assert found["input__type"] == "x"
    assert found["meta"] == {"input_input__type": "y", "input__type": "z"}


def test_a_moment_that_python_has_no_form_for_is_refused_by_name(tmp_path: Path) -> None:
    """A year after 9999."""
    far = pa.array([10**15], pa.int64()).cast(pa.timestamp("s"))
    pq.write_table(pa.table({"prompt": ["a"], "when": far}), tmp_path / "p.parquet")
    with pytest.raises(InvalidRows, match="when"):
        prepare_prompts(PromptOptions(str(tmp_path / "p.parquet")), tmp_path / "prepared.parquet")
