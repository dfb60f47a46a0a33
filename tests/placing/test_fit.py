"""The table of GPU types, and how many of each a model takes."""

from __future__ import annotations

from promptmill.placing.fit import fits
from promptmill.placing.gpu_types import GPU_TYPES
from tests.placing.models import WORKLOAD, skeleton_named


def test_the_table_is_sorted_and_names_no_type_twice() -> None:
    """From the smallest to the largest, so that the first that holds a model is the nearest."""
    sizes = [kind.mib for kind in GPU_TYPES]
    assert sizes == sorted(sizes)
    assert len({kind.name for kind in GPU_TYPES}) == len(GPU_TYPES) == 16


def test_llama_2_70b_takes_what_is_known_of_it() -> None:
    """In 16 bits 129 GiB of weights: two A100-80 or an H200; in 4 bits one A100-40 or A40."""
    bones = skeleton_named("llama-2-70b")
    names = ("A100-80GB", "A100-40GB", "A40", "H200", "T4", "V100-16GB")
    types = [kind for kind in GPU_TYPES if kind.name in names]
    found = {(fit.gpu, fit.quantization): fit.gpus for fit in fits(bones, bones.shape, WORKLOAD, types)}
    assert found["A100-80GB", "none"] == 2
    assert found["H200", "none"] == 1
    assert found["A100-40GB", "4bit"] == found["A40", "4bit"] == 1
    assert found["T4", "4bit"] == 3
    assert found["T4", "none"] is None
    assert ("V100-16GB", "8bit") not in found


def test_dtypes_follow_the_capability() -> None:
    """Turing and Volta compute in float16, all later ones in bfloat16."""
    bones = skeleton_named("gpt2")
    halves = {fit.gpu for fit in fits(bones, bones.shape, WORKLOAD) if fit.dtype == "float16"}
    assert halves == {"T4", "V100-16GB", "V100-32GB", "Quadro RTX 6000"}
