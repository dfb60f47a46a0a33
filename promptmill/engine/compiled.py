"""Attention of rows that go on by one token each, by compiled code where Numba is installed.

PyTorch's kernel computes matrix products, which for the few queries of one token are too small to keep a processor
busy: measured, it reads keys and values at half the speed of `kernels.py`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from promptmill.engine.kernels import AttentionWork

logger = logging.getLogger(__name__)

_PARTS = 8
"""How many parts each thread takes, about: rows differ in length."""


Kernel = Callable[["AttentionWork", int], None]
"""Does the work with so many threads."""


@functools.cache
def load_kernel() -> Kernel | None:
    """The compiled code, made or read when it is first asked for; None where Numba is missing or can't make it."""
    if importlib.util.find_spec("numba") is None:
        logger.info("Generating on a CPU is faster with Numba, which is not installed: pip install numba")
        return None
    try:
        from promptmill.engine.kernels import LAYOUT, attend
    except Exception as error:  # a compiler, its cache and this processor: whatever it is, there is a slower way
        logger.warning("Attention can't be compiled here, and is PyTorch's, which is slower: %s", error)
        return None
    return _kernel(attend.address, LAYOUT)


def suits(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: dict[str, Any]) -> bool:
    """Whether it is one token a row, in float32 on a CPU, with nothing to it but a mask of columns.

    Args:
        query: [rows, heads, tokens, size].
        key, value: [rows, heads of keys, columns, size].
        mask: [rows, 1, 1, columns], or None where all rows see all columns.
        options: those of transformers' attention functions.
    """
    if query.shape[2] != 1 or query.shape[0] != key.shape[0] or query.shape[1] % key.shape[1]:
        return False
    if mask is not None and (mask.dtype != torch.bool or mask.shape[1:3] != (1, 1)):
        return False
    if any(part.dtype != torch.float32 or part.device.type != "cpu" for part in (query, key, value)):
        return False
    if any(options.get(name) is not None for name in ("position_bias", "softcap", "cache")) or options.get("dropout"):
        return False
    return key.stride(3) == value.stride(3) == 1


def attend(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """What `suits`, computed: [rows, 1, heads, size of a value]."""
    from promptmill.engine.kernels import AttentionWork

    rows, heads, columns, size = key.shape
    queries = query.reshape(rows, heads, -1, size).contiguous()
    out = queries.new_empty(*queries.shape[:3], value.shape[3])
    visible = _visible(mask, rows, columns)
    threads = torch.get_num_threads()
    work = AttentionWork(
        taken=0,
        share=-(-rows * heads // (threads * _PARTS)),
        rows=rows,
        heads=heads,
        group=queries.shape[2],
        size=size,
        value_size=value.shape[3],
        columns=columns,
        out=out.data_ptr(),
        queries=queries.data_ptr(),
        keys=key.data_ptr(),
        key_row_stride=key.stride(0),
        key_head_stride=key.stride(1),
        key_column_stride=key.stride(2),
        values=value.data_ptr(),
        value_row_stride=value.stride(0),
        value_head_stride=value.stride(1),
        value_column_stride=value.stride(2),
        visible=visible.data_ptr(),
        scale=size**-0.5 if scale is None else scale,
    )
    kernel(work, threads)
    return out.view(rows, 1, -1, value.shape[3])


def _visible(mask: Tensor | None, rows: int, columns: int) -> Tensor:
    if mask is None:
        return torch.ones(rows, columns, dtype=torch.bool)
    return mask.expand(rows, 1, 1, columns).reshape(rows, columns).contiguous()


def _kernel(address: int, layout: np.dtype[Any]) -> Kernel:
    """Runs compiled code in PyTorch's own threads: those of another pool would contend with them, which wait busily."""
    alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    together = _openmp()

    def run(work: AttentionWork, threads: int) -> None:
        memory = np.array(work, layout)
        if threads > 1 and together is not None:
            together(address, memory.ctypes.data, threads, 0)
        else:
            alone(memory.ctypes.data)

    return run


def _openmp() -> Callable[[int, int, int, int], None] | None:
    """`GOMP_parallel`, which calls a function once in each thread, of the OpenMP library that PyTorch is linked with.

    It is what compilers make of `#pragma omp parallel`: GCC's library has it, and LLVM's and Intel's in its place.
    """
    try:
        together = ctypes.CDLL(str(Path(torch.__file__).with_name("lib") / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError) as error:
        logger.info("Attention is computed by one thread: PyTorch's OpenMP library is not known: %s", error)
        return None
    together.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    together.restype = None
    return together
