"""Compiled attention is PyTorch's, to the last few bits, and where it can't be had PyTorch's takes its place.

That every kind of model writes the same text with it is in tests/engine/test_equality.py.
"""

from __future__ import annotations

import builtins
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from promptmill.engine import compiled
from promptmill.engine.compiled import Kernel, attend, load_kernel, suits
from promptmill.engine.transformers import TransformersEngine
from tests.engine.tiny import greedy, prompts, requests, run


@pytest.fixture
def kernel() -> Kernel:
    """The compiled code: with what the tests need it can be had."""
    found = load_kernel()
    assert found is not None
    return found


@pytest.fixture
def fresh() -> Iterator[None]:
    """The kernel is looked for anew, and is forgotten."""
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


def left_padded(rows: int, columns: int) -> Tensor:
    """Row i sees all columns but the first i."""
    return (torch.arange(columns) >= torch.arange(rows)[:, None])[:, None, None]


def batch(rows: int = 5, heads: int = 2, group: int = 3, columns: int = 21, size: int = 16, values: int = 16) -> Any:
    """Queries, and keys and values that are a part of something larger, as a cache's are."""
    torch.manual_seed(rows * columns + size)
    query = torch.randn(rows, heads * group, 1, size)
    key, value = (torch.randn(rows + 2, heads, columns + 9, width) for width in (size, values))
    return query, key[:rows, :, 4 : columns + 4], value[:rows, :, 4 : columns + 4]


def reference(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None = None) -> Tensor:
    """PyTorch's attention in float64."""
    group = query.shape[1] // key.shape[1]
    key, value = (part.double().repeat_interleave(group, dim=1) for part in (key, value))
    return scaled_dot_product_attention(query.double(), key, value, attn_mask=mask, scale=scale).transpose(1, 2).float()


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"group": 1, "size": 64, "values": 64},
        {"heads": 1, "group": 8, "columns": 150},
        {"rows": 1, "heads": 1, "group": 1, "columns": 1},
        {"rows": 64, "columns": 33, "size": 80, "values": 80},
        {"size": 7, "values": 5, "columns": 3},
    ],
    ids=str,
)
def test_it_is_pytorchs_attention(
    sizes: dict[str, int], threads: int, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of rows, heads, columns and threads; sizes that fill no vector; values of another size than keys."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    query, key, value = batch(**sizes)
    rows, columns = key.shape[0], key.shape[2]
    for mask in (None, left_padded(min(rows, columns), columns)[[min(row, columns - 1) for row in range(rows)]]):
        torch.testing.assert_close(attend(kernel, query, key, value, mask, None), reference(query, key, value, mask))


def test_any_mask_and_scale(kernel: Kernel) -> None:
    """Windows that end before the last column, holes, one mask for all rows, and a factor of the model's own."""
    query, key, value = batch(columns=40)
    window = (torch.arange(40) >= 11) & (torch.arange(40) < 30)
    holes = torch.arange(40) % 3 != 1
    for visible in (window, holes, window & holes):
        mask = visible.expand(1, 1, 1, 40)
        mine = attend(kernel, query, key, value, mask, 0.3)
        torch.testing.assert_close(mine, reference(query, key, value, mask, 0.3))


def test_large_scores_do_not_overflow(kernel: Kernel) -> None:
    """Softmax of scores of some ten thousand, and of rows whose columns are all alike."""
    query, key, value = batch(columns=50)
    torch.testing.assert_close(
        attend(kernel, query * 1e4, key, value, None, None), reference(query * 1e4, key, value, None)
    )
    torch.testing.assert_close(
        attend(kernel, query * 0, key, value, None, None), reference(query * 0, key, value, None)
    )


def test_what_is_no_number_stays_in_its_row(kernel: Kernel) -> None:
    """A NaN that a row sees makes that row NaN, so that it is found out; one that it does not see does not."""
    query, key, value = batch()
    mask = left_padded(5, 21)
    key[1, :, 7] = value[3, :, 7] = torch.nan
    key[4, :, 2] = value[4, :, 2] = torch.inf  # left of what row 4 sees
    assert attend(kernel, query, key, value, mask, None).isnan().flatten(1).any(1).tolist() == [
        *(False, True, False, True, False)
    ]


def test_rows_do_not_depend_on_their_batch(kernel: Kernel) -> None:
    """Each row comes out to the bit as it does alone."""
    query, key, value = batch(rows=9, columns=70)
    mask = left_padded(9, 70)
    together = attend(kernel, query, key, value, mask, None)
    for row in range(9):
        only = slice(row, row + 1)
        alone = attend(kernel, query[only], key[only, :, row:], value[only, :, row:], None, None)
        assert torch.equal(alone, together[only])


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("query", torch.zeros(5, 6, 2, 16)),
        ("query", torch.zeros(5, 5, 1, 16)),
        ("query", torch.zeros(5, 6, 1, 16, dtype=torch.bfloat16)),
        ("key", torch.zeros(5, 2, 16, 21).transpose(2, 3)),
        ("mask", torch.zeros(5, 1, 1, 21)),
        ("mask", torch.ones(5, 6, 1, 21, dtype=torch.bool)),
        ("position_bias", torch.zeros(1)),
        ("softcap", 50.0),
        ("dropout", 0.1),
    ],
    ids=lambda value: str(value)[:40].split("[")[0],
)
def test_what_it_can_not_do_is_left_to_pytorch(change: str, value: Any) -> None:
    """More than one token, other types, biases: told before, from what attention is called with."""
    query, key, values = batch()
    asked: dict[str, Any] = {"query": query, "key": key, "value": values, "mask": left_padded(5, 21)}
    options: dict[str, Any] = {"dropout": 0.0, "scaling": None, "position_bias": None}
    assert suits(**asked, options=options)
    (asked if change in asked else options)[change] = value
    assert not suits(**asked, options=options)


@pytest.mark.usefixtures("fresh")
def test_without_numba(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows come out the same, and the log says once what would make it faster."""
    asked = requests(prompts(6))
    expected = run(TransformersEngine(model, tokenizer, greedy(4)), asked)
    load_kernel.cache_clear()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else find(name))
    with caplog.at_level(logging.INFO, logger=compiled.__name__):
        assert run(TransformersEngine(model, tokenizer, greedy(4)), asked) == expected
    assert [record.getMessage() for record in caplog.records if record.name == compiled.__name__] == [
        "Generating on a CPU is faster with Numba, which is not installed: pip install numba"
    ]


@pytest.mark.usefixtures("fresh")
def test_where_it_can_not_be_compiled(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A compiler that fails costs speed, not the run, and a warning says why."""
    monkeypatch.delitem(sys.modules, "promptmill.engine.kernels", raising=False)
    real = builtins.__import__

    def failing(name: str, *rest: Any) -> Any:
        if name == "promptmill.engine.kernels":
            raise RuntimeError("cannot cache function: no locator available")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", failing)
    completions = run(TransformersEngine(model, tokenizer, greedy(4)), requests(prompts(6)))
    assert all(completion.error is None for completion in completions)
    (warning,) = (record.getMessage() for record in caplog.records if record.name == compiled.__name__)
    assert "can't be compiled here" in warning
    assert "no locator available" in warning


@pytest.mark.usefixtures("fresh")
def test_one_thread_where_pytorchs_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenMP library without the usual function: the calling thread does it all."""
    monkeypatch.setattr(torch, "__file__", "/nowhere/torch/__init__.py")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    kernel = load_kernel()
    assert kernel is not None
    query, key, value = batch()
    torch.testing.assert_close(attend(kernel, query, key, value, None, None), reference(query, key, value, None))


@pytest.mark.long
def test_what_was_compiled_is_kept(tmp_path: Path) -> None:
    """The second process reads what the first has made."""
    command = [sys.executable, "-c", "from promptmill.engine.compiled import load_kernel; assert load_kernel()"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    made = []
    for _ in range(2):
        subprocess.run(command, check=True, env=environment)
        made.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nbc")})
    assert made[0]
    assert made[0] == made[1]
