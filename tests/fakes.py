"""The fakes of the tests, all of them: an engine that needs no model, and a run for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.files import write_json
from promptmill.model import PinnedModel
from promptmill.run import Identity, RunFolder, fix_identity, open_run
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings


class StubEngine:
    """Answers every request with a text made of its seed, last request first.

    Args:
        seconds: waits so long before each row.
        fail_after: raises a RuntimeError after so many rows.
    """

    def __init__(self, *, seconds: float = 0.0, fail_after: int | None = None) -> None:
        self.seconds = seconds
        self.fail_after = fail_after
        self.generated: list[int] = []

    @property
    def beats(self) -> int:
        """A row is its sign of work."""
        return len(self.generated)

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """One completion a request, until told to stop."""
        for request in reversed(list(requests)):
            if should_stop() or not may_begin():
                return
            if self.fail_after is not None and len(self.generated) >= self.fail_after:
                raise RuntimeError("the stub engine fails as it was told to")
            if self.seconds:
                time.sleep(self.seconds)
            self.generated.append(request.position)
            yield completion_of(request)


def completion_of(request: Request) -> Completion:
    """What the stub engine answers."""
    text = request.prompt if request.prompt is not None else str(request.messages)
    return Completion(request.position, f"{request.seed:x} answers {text}", "stop", len(text), 3)


def begun_run(
    data: Path,
    prompts: Path,
    *,
    digest: str = "0" * 64,
    columns: str | None = None,
    chat_template: str | None = None,
    system_prompt: str | None = None,
) -> RunFolder:
    """A run whose model and identity are fixed as if a model had been placed; its shards can be filled by the stub.

    Args:
        digest: of the prompts as they are prepared.
        columns: the layout of its rows; None as of runs that were begun before there was a choice.
        chat_template: digest of the model's; None for a model without one.
    """
    settings = RunSettings(
        model="nobody/stub",
        revision=None,
        prompts_sha256="0" * 64,
        prompt_column=None,
        template=None,
        system_prompt=system_prompt,
        limit=None,
        samples_per_prompt=1,
        sampling=SamplingParameters(),
        seed=0,
        dtype="float32",
        quantization="none",
        engine="transformers",
    )
    run = RunFolder.named(data, "stub")
    open_run(run, settings, str(prompts), columns)
    write_json(run.model, asdict(PinnedModel("nobody/stub", "hub", "c" * 40, str(data), {})))
    fix_identity(
        run,
        Identity.of(
            settings,
            revision="c" * 40,
            prompts=digest,
            chat_template=chat_template,
            dtype="float32",
            quantization="none",
        ),
    )
    return run


def fake_program(folder: Path, name: str, script: str) -> None:
    """A program that is a shell script; the folder belongs at the head of PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def fake_clock(folder: Path) -> Path:
    """A clock of the day that is set by writing seconds into the file that this returns; `folder` is for PYTHONPATH.

    Python's clock alone: files keep the kernel's times, as those of a file server would.
    """
    (folder / "sitecustomize.py").write_text(
        "import pathlib, time\n"
        "_true, _set = time.time, pathlib.Path(__file__).with_name('ahead')\n"
        "def _ahead():\n"
        "    try: return float(_set.read_text())\n"
        "    except (OSError, ValueError): return 0.0\n"
        "time.time = lambda: _true() + _ahead()\n"
        "time.time_ns = lambda: int(time.time() * 1e9)\n"
    )
    return folder / "ahead"


def fake_version(folder: Path, name: str, version: str) -> None:
    """Another version of an installed distribution, as far as its metadata tell; `folder` is for PYTHONPATH."""
    metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def fake_nvml(folder: Path, *gpus: tuple[str, float, float, tuple[int, int]], cuda: int = 12040) -> None:
    """NVIDIA's driver library with these GPUs (name, GiB free, GiB in all, capability), for PYTHONPATH."""
    (folder / "pynvml.py").write_text(
        "from types import SimpleNamespace\n"
        "class NVMLError(Exception): pass\n"
        "NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_DRIVER_NOT_LOADED = 12, 9\n"
        f"GPUS = {list(gpus)!r}\n"
        "nvmlInit = nvmlShutdown = lambda: None\n"
        "nvmlDeviceGetCount = lambda: len(GPUS)\n"
        "nvmlDeviceGetHandleByIndex = lambda index: index\n"
        "nvmlDeviceGetName = lambda handle: GPUS[handle][0]\n"
        "nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(\n"
        "    free=int(GPUS[handle][1] * 2**30), total=int(GPUS[handle][2] * 2**30))\n"
        "nvmlDeviceGetCudaComputeCapability = lambda handle: GPUS[handle][3]\n"
        "nvmlDeviceGetUUID = lambda handle: f'GPU-{handle}'\n"
        "nvmlSystemGetDriverVersion = lambda: '550.54'\n"
        f"nvmlSystemGetCudaDriverVersion = lambda: {cuda}\n"
    )
