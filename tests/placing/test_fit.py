"""The table of GPU types, and how many of each a model takes."""

from __future__ import annotations

from promptmill.hardware import Hardware
from promptmill.placing.fit import MOST_GPUS, Fit, Question
from promptmill.placing.gpu_types import GPU_TYPES
from promptmill.placing.split import Splitter
from tests.placing.models import WORKLOAD, skeleton_named

TYPES = {kind.name: kind for kind in GPU_TYPES}


def fit(model: str, gpu: str, quantization: str, *, count: int = MOST_GPUS) -> Fit:
    """The answer for a named model on so many GPUs of a type."""
    bones = skeleton_named(model)
    hardware = Hardware((TYPES[gpu].gpu(),) * count, cores=1)
    return Question(bones.shape, Splitter(bones, bones.shape), WORKLOAD).fit(hardware, "auto", quantization)


def test_the_table_is_sorted_and_names_no_type_twice() -> None:
    """From the smallest to the largest, so that the first that holds a model is the nearest."""
    sizes = [kind.mib for kind in GPU_TYPES]
    assert sizes == sorted(sizes)
    assert len(TYPES) == len(GPU_TYPES) == 16


def test_llama_2_70b_takes_what_is_known_of_it() -> None:
    """In 16 bits 129 GiB of weights: two A100-80 or an H200; in 4 bits one A100-40 or A40."""
    assert fit("llama-2-70b", "A100-80GB", "none").gpus == 2
    assert fit("llama-2-70b", "H200", "none").gpus == 1
    assert fit("llama-2-70b", "A100-40GB", "4bit").gpus == fit("llama-2-70b", "A40", "4bit").gpus == 1
    assert fit("llama-2-70b", "T4", "4bit").gpus == 3
    assert fit("llama-2-70b", "T4", "none").decision is None


def test_too_few_gpus_are_answered_with_how_many_it_takes() -> None:
    """As far as a node goes."""
    two = fit("llama-2-70b", "T4", "4bit", count=2)
    assert (two.available, two.gpus) == (False, 3)
    assert fit("llama-2-70b", "T4", "4bit", count=3).available


def test_what_a_gpu_cannot_do_has_a_reason() -> None:
    """A V100 has no kernels for 8bit; Mixtral's experts are not quantised."""
    assert "compute capability 7.5" in str(fit("llama-2-7b", "V100-16GB", "8bit").reason)
    assert "only 3% of this model" in str(fit("mixtral-8x7b", "A100-80GB", "4bit").reason)


def test_dtypes_follow_the_capability() -> None:
    """Turing and Volta compute in float16, all later ones in bfloat16."""
    halves = {name for name in TYPES if fit("gpt2", name, "none", count=1).dtype == "float16"}
    assert halves == {"T4", "V100-16GB", "V100-32GB", "Quadro RTX 6000"}
