"""A GPU type by the many names that it has: a user's, the driver's, a Slurm administrator's."""

from __future__ import annotations

import re

from promptmill.placing.gpu_types import GPU_TYPES, GpuType

_NOISE = re.compile(r"nvidia|tesla|geforce|quadro|amd|instinct|graphics|gpu|pcie|nvl|sxm\d?|hbm\d?e?|\(.*\)|[^a-z0-9]")
_SIZES = ("16", "24", "32", "40", "48", "64", "80", "94", "96", "128", "141", "192")


def types_named(name: str) -> tuple[GpuType, ...]:
    """The types of the table that a name may stand for: none, one, or several that differ in memory.

    As in `RTX 6000`, `NVIDIA A100-SXM4-40GB`, `quadro_rtx_6000`, `a100_80g`, `A100` (two of them).
    """
    wanted = _plain(name)
    exact = tuple(kind for kind in GPU_TYPES if _plain(kind.name) == wanted)
    if exact or not wanted:
        return exact
    less = tuple(kind for kind in GPU_TYPES if _rest(_plain(kind.name), wanted) is not None)
    if less:
        return less
    model, size = _without_memory(wanted)
    # `H100 80GB`: the table names the size only where a type comes in two of them.
    return tuple(kind for kind in GPU_TYPES if size and _plain(kind.name) == model and _near(kind, int(size)))


def _plain(name: str) -> str:
    plain = _NOISE.sub("", name.lower())
    return re.sub(r"(\d+)g$", r"\1gb", plain)


def _rest(full: str, start: str) -> str | None:
    """What a type's name has beyond the given one, if that is only its memory, or AMD's X."""
    if full.endswith(start) and start.isdigit() and len(start) == 4:  # `3090`
        return ""
    rest = full.removeprefix(start)
    return rest if rest != full and re.fullmatch(r"(\d\d)?gb|x", rest) else None


def _without_memory(plain: str) -> tuple[str, str | None]:
    size = next((size for size in sorted(_SIZES, key=len, reverse=True) if plain.endswith(f"{size}gb")), None)
    return (plain, None) if size is None else (plain.removesuffix(f"{size}gb"), size)


def _near(kind: GpuType, gib: int) -> bool:
    return abs(kind.mib / 1024 - gib) <= 0.1 * gib
