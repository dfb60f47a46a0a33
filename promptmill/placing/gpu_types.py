"""GPU types that researchers meet: memory as the driver reports it, and compute capability.

Sources: NVIDIA's and AMD's data sheets; `nvidia-smi` for memory with error correction on, as clusters
have it; NVIDIA's list of compute capabilities. AMD's "capability" is what torch reports (gfx90a: 9.0,
gfx942: 9.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from promptmill.hardware import Gpu

MIB = 1 << 20


@dataclass(frozen=True)
class GpuType:
    """A type of GPU.

    Attributes:
        mib: all of its memory.
    """

    name: str
    mib: int
    capability: tuple[int, int]
    vendor: str = "NVIDIA"

    def gpu(self) -> Gpu:
        """One such GPU that nobody uses: the driver keeps some 2 % for itself."""
        total = self.mib * MIB
        return Gpu(self.name, int(total * 0.98), total, self.capability)


GPU_TYPES = (
    GpuType("T4", 15_360, (7, 5)),
    GpuType("V100-16GB", 16_384, (7, 0)),
    GpuType("A10", 23_028, (8, 6)),
    GpuType("L4", 23_034, (8, 9)),
    GpuType("RTX 4090", 24_564, (8, 9)),
    GpuType("Quadro RTX 6000", 24_576, (7, 5)),
    GpuType("RTX 3090", 24_576, (8, 6)),
    GpuType("V100-32GB", 32_768, (7, 0)),
    GpuType("A100-40GB", 40_960, (8, 0)),
    GpuType("A40", 46_068, (8, 6)),
    GpuType("L40S", 46_068, (8, 9)),
    GpuType("MI250 (one of two dies)", 65_520, (9, 0), "AMD"),
    GpuType("H100", 81_559, (9, 0)),
    GpuType("A100-80GB", 81_920, (8, 0)),
    GpuType("H200", 143_771, (9, 0)),
    GpuType("MI300X", 196_592, (9, 4), "AMD"),
)
"""From the smallest to the largest."""
