"""What the driver says, and what becomes of it when a process takes some of the GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from promptmill.hardware import (
    VISIBLE,
    Gpu,
    Hardware,
    available_cores,
    detect_hardware,
    host_memory,
    narrow_to,
    widen,
)

GIB = 1 << 30
NAMES = ("Tesla T4", "Tesla T4", "Quadro RTX 6000")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A driver that knows three GPUs."""
    answers: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(NAMES),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: int(uuid[-1]),
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(free=(10 + handle) * GIB, total=16 * GIB),
        "nvmlDeviceGetName": lambda handle: NAMES[handle],
        "nvmlDeviceGetCudaComputeCapability": lambda handle: (7, 5),
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv(VISIBLE, raising=False)
    yield
    widen()


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["GPU-0", "GPU-1", "GPU-2"]),
        ("2,0", ["GPU-2", "GPU-0"]),
        ("GPU-1", ["GPU-1"]),
        ("", []),
        ("1,-1,0", ["GPU-1"]),
        ("7", []),
    ],
)
def test_visible_devices_are_obeyed(visible: str | None, seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As CUDA reads it: indices or names, in order, up to the first that is invalid."""
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert [gpu.uuid for gpu in detect_hardware().gpus] == seen


@pytest.mark.usefixtures("driver")
def test_the_label_stays_when_a_process_takes_a_gpu() -> None:
    """The record of a placement is found again by a process that has narrowed its view."""
    before = detect_hardware()
    narrow_to(before.gpus[:1])
    assert os.environ[VISIBLE] == "GPU-0"
    assert detect_hardware().label == before.label == "1xquadro-rtx-6000-2xtesla-t4"
    widen()
    assert VISIBLE not in os.environ


@pytest.mark.usefixtures("driver")
def test_a_narrowed_view_goes_back_to_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """To Slurm's list, say, and not to all GPUs of the node."""
    monkeypatch.setenv(VISIBLE, "0,2")
    gpus = detect_hardware().gpus
    narrow_to(gpus[1:])
    assert [gpu.uuid for gpu in detect_hardware().gpus] == ["GPU-0", "GPU-2"]
    widen()
    assert os.environ[VISIBLE] == "0,2"


def test_no_driver_is_a_machine_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 on its cores."""

    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    found = detect_hardware()
    assert (found.gpus, found.label, found.default_dtype) == ((), "cpu", "float32")
    assert found.cores == available_cores() > 0
    assert found.host_bytes > 0


def test_bfloat16_needs_ampere_on_every_gpu() -> None:
    """One Turing among them makes it float16."""
    ampere, turing = Gpu("A100", GIB, GIB, (8, 0)), Gpu("T4", GIB, GIB, (7, 5))
    assert Hardware((ampere, ampere), 1).default_dtype == "bfloat16"
    assert Hardware((ampere, turing), 1).default_dtype == "float16"


def test_a_jobs_share_of_memory_counts(tmp_path: Path) -> None:
    """A control group that may use 2 GiB and uses 1.5, of which 0.5 are cached files, has 1 GiB left."""
    group = tmp_path / "job"
    group.mkdir()
    (group / "memory.max").write_text(f"{2 * GIB}\n")
    (group / "memory.current").write_text(f"{3 * GIB // 2}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {GIB // 2}\n")
    assert host_memory([tmp_path, group]) == GIB
