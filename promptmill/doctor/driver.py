"""The NVIDIA driver, its GPUs, and whether the installed torch goes with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from promptmill.doctor.values import Finding
from promptmill.hardware import VISIBLE, Gpu, detect_hardware
from promptmill.placing.choices import LEAST_CAPABILITY
from promptmill.placing.memory import GIB

INSTALL = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126"
BUSY_SHARE = 0.9
"""A GPU with less than this part of its memory free is in use by somebody."""


@dataclass(frozen=True)
class Driver:
    """What NVML says of the driver.

    Attributes:
        cuda: the newest CUDA that it can run.
        gpus: that this process may see.
    """

    version: str
    cuda: tuple[int, int]
    gpus: int


@dataclass(frozen=True)
class Build:
    """What the installed torch was built for, and how many GPUs it sees.

    Attributes:
        cuda, hip: as "12.6"; None if it was not built for them.
    """

    version: str
    cuda: str | None
    hip: str | None
    gpus: int


class BrokenDriver(Exception):
    """There is a driver, and it does not work; the text is NVML's."""


def check_torch() -> list[Finding]:
    """Whether torch is a build that goes with the driver."""
    import torch

    build = Build(str(torch.__version__), torch.version.cuda, torch.version.hip, torch.cuda.device_count())
    try:
        return [judged(build, read_driver())]
    except BrokenDriver:
        return [Finding("torch", "warn", f"{_named(build)}; the driver cannot be asked")]  # said by `check_gpus`


def check_gpus() -> list[Finding]:
    """Every GPU that this process may use."""
    try:
        driver = read_driver()
    except BrokenDriver as error:
        do = "Ask the administrator to repair the NVIDIA driver (often: restart the machine after an update)."
        return [Finding("GPU", "fail", f"the NVIDIA driver does not work: {error}", do)]
    if driver is None:
        return [Finding("GPU", "pass", "no NVIDIA GPU here, so models run on the CPU (usual on a login node)")]
    gpus = detect_hardware().gpus
    if not gpus:
        do = f"Unset {VISIBLE}, or ask Slurm for GPUs (--gres=gpu:1), to use them."
        return [Finding("GPU", "warn", f"{VISIBLE}={os.environ.get(VISIBLE, '')!r} hides the GPUs of this machine", do)]
    return [_gpu(number, gpu) for number, gpu in enumerate(gpus)]


def judged(build: Build, driver: Driver | None) -> Finding:
    """Whether a build of torch and a driver go together."""
    named = _named(build)
    if driver is None and build.gpus:
        do = f"promptmill cannot plan for these GPUs yet; set {VISIBLE}= (empty) to use the CPU."
        return Finding("torch", "warn", f"{named} sees {build.gpus} GPU(s) that are not NVIDIA's", do)
    if driver is None or not driver.gpus:
        return Finding("torch", "pass", f"{named}; no NVIDIA GPU to go with")
    said = f"the driver {driver.version} runs CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
    if build.cuda is None:
        return Finding("torch", "fail", f"{named}, but there are {driver.gpus} GPU(s)", INSTALL)
    if int(build.cuda.split(".")[0]) > driver.cuda[0]:
        do = f"{INSTALL} (a CUDA that the driver runs), or ask for a newer driver."
        return Finding("torch", "fail", f"{named}, but {said}", do)
    if build.gpus < driver.gpus:
        do = "python -c 'import torch; torch.cuda.init()' says why."
        return Finding("torch", "fail", f"{named} sees {build.gpus} of {driver.gpus} GPUs; {said}", do)
    return Finding("torch", "pass", f"{named}; {said}")


def read_driver() -> Driver | None:
    """The driver of this machine; None if there is none.

    Raises:
        BrokenDriver: there is one, and it does not work.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        if getattr(error, "value", None) in absent:
            return None
        raise BrokenDriver(str(error)) from error
    try:
        return _read(pynvml)
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: Any) -> Driver | None:
    if not nvml.nvmlDeviceGetCount():
        return None
    cuda = nvml.nvmlSystemGetCudaDriverVersion()
    version = nvml.nvmlSystemGetDriverVersion()
    return Driver(str(version), (cuda // 1000, cuda % 1000 // 10), len(detect_hardware().gpus))


def _gpu(number: int, gpu: Gpu) -> Finding:
    capability = ".".join(map(str, gpu.capability))
    free = f"{gpu.free_bytes / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB free"
    lacking = [f"no {name}" for name, least in LEAST_CAPABILITY.items() if gpu.capability < least]
    lacking += [] if gpu.has_bfloat16 else ["no bfloat16"]
    says = ", ".join([f"{gpu.name}: {free}", f"capability {capability}", *lacking])
    if gpu.free_bytes < BUSY_SHARE * gpu.total_bytes:
        return Finding(f"GPU {number}", "warn", says, "Others use it: nvidia-smi lists them.")
    return Finding(f"GPU {number}", "pass", says)


def _named(build: Build) -> str:
    kind = f"for CUDA {build.cuda}" if build.cuda else f"for ROCm {build.hip}" if build.hip else "for the CPU alone"
    return f"torch {build.version}, a build {kind}"
