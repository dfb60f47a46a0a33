"""Tells a row that can't be generated from a model that can't generate."""

from __future__ import annotations

import torch

from promptmill.engine.contract import Completion
from promptmill.engine.rows import Row
from promptmill.errors import EngineError

MOST_IN_A_ROW = 8
"""Rows that may fail one after the other, each alone, before the model is taken to be at fault."""


DEVICE_ERROR: type[Exception] | tuple[()] = getattr(torch, "AcceleratorError", ())
"""What a device raises by itself, since torch 2.8; before, it is a RuntimeError like any other."""
_NO_MEMORY = 2
"""cudaErrorMemoryAllocation and hipErrorOutOfMemory."""
_HOST_MEMORY = "DefaultCPUAllocator: "


def is_out_of_memory(error: Exception) -> bool:
    """Whether a pass failed for want of memory, on a device or in the host.

    PyTorch has a type for its own allocator on devices alone; a driver that runs out tells it by its
    code, and the host's allocator in words.
    """
    if isinstance(error, DEVICE_ERROR):
        return getattr(error, "error_code", None) == _NO_MEMORY
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        type(error) is RuntimeError and _HOST_MEMORY in str(error)
    )


class Failures:
    """Rows whose forward pass failed while they were alone, held until another row's works.

    That shows that the rows were at fault; only then are they given up.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Row, Exception]] = []
        self._worked = False

    def add(self, row: Row, reason: Exception) -> None:
        """Hold a row.

        Raises:
            EngineError: too many failed one after the other.
        """
        self._held.append((row, reason))
        if len(self._held) >= MOST_IN_A_ROW:
            self._raise()

    def pass_worked(self) -> list[Completion]:
        """Note that the model works; return what became of the rows that were held."""
        self._worked = True
        given_up = [_give_up(row, reason) for row, reason in self._held]
        self._held.clear()
        return given_up

    def no_more(self) -> list[Completion]:
        """What became of the rows still held when there are no others left.

        Raises:
            EngineError: not one forward pass ever worked.
        """
        if self._held and not self._worked:
            self._raise()
        return self.pass_worked() if self._held else []

    def _raise(self) -> None:
        reason = self._held[-1][1]
        raise EngineError(
            f"The model can't generate: {len(self._held)} rows failed, each alone, the last with "
            f"{type(reason).__name__}: {reason}"
        ) from reason


def _give_up(row: Row, reason: Exception) -> Completion:
    return row.complete("", "error", f"The model fails on this row alone: {type(reason).__name__}: {reason}")
