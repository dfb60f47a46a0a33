"""Which GPUs are meant: by a user, the driver, an administrator of Slurm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptmill.errors import ConfigurationError
from promptmill.fitting.pools import find_pools
from promptmill.hardware import Hardware
from promptmill.placing.gpu_names import types_named
from promptmill.placing.gpu_types import GPU_TYPES
from promptmill.slurm.partitions import NodeKind, gpu_nodes
from tests.slurm.test_boundary import fake

NAMES = {
    "T4": "T4",
    "Tesla T4": "T4",
    "RTX 6000": "Quadro RTX 6000",
    "quadro_rtx_6000": "Quadro RTX 6000",
    "NVIDIA GeForce RTX 3090": "RTX 3090",
    "3090": "RTX 3090",
    "NVIDIA A100-SXM4-40GB": "A100-40GB",
    "a100_80g": "A100-80GB",
    "A100-80": "A100-80GB",
    "Tesla V100-SXM2-16GB": "V100-16GB",
    "NVIDIA H100 80GB HBM3": "H100",
    "NVIDIA L40S": "L40S",
    "MI250": "MI250 (one of two dies)",
    "MI300": "MI300X",
}
OTHERS = ("NVIDIA RTX 6000 Ada Generation", "L40", "A10G", "GTX 1080 Ti", "1g.10gb", "6000 Blackwell", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_known_by_its_many_names(name: str) -> None:
    """As people, the driver and Slurm write it."""
    assert [kind.name for kind in types_named(name)] == [NAMES[name]]


@pytest.mark.parametrize("name", OTHERS)
def test_another_type_is_not_taken_for_one_of_the_table(name: str) -> None:
    """An RTX 6000 Ada has twice the memory of a Quadro RTX 6000."""
    assert types_named(name) == ()


@pytest.mark.parametrize("kind", GPU_TYPES, ids=lambda kind: kind.name)
def test_every_type_of_the_table_is_found_by_its_name(kind: object) -> None:
    """Whatever it is called."""
    assert types_named(kind.name) == (kind,)  # type: ignore[attr-defined]


def test_named_gpus_are_those_of_the_table() -> None:
    """With their number; one if it is left out."""
    pools, _ = find_pools(["T4:6", "RTX 6000"], None)
    assert [(pool.gpu, pool.count) for pool in pools] == [("T4", 6), ("Quadro RTX 6000", 1)]
    assert any("no bfloat16 (Turing)" in note for pool in pools for note in pool.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [("T5:2", "choose one of: T4, V100-16GB"), ("A100:2", "choose one of: A100-40GB, A100-80GB"), ("T4:0", "'T4:6'")],
)
def test_a_gpu_that_is_not_known_is_answered_with_the_choices(text: str, said: str) -> None:
    """Also one that could be two."""
    with pytest.raises(ConfigurationError, match=said):
        find_pools([text], None)


@pytest.fixture
def sinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with T4s, A100s of unsaid size, a type that nobody knows, and CPUs."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    lines = [
        "small|4|192000|gpu:t4:6(S:0-1)",
        "big|2|1031000+|gpu:a100:4,mps:400",
        "odd|1|64000|gpu:titan:2",
        "untold|1|64000|gpu:2",
        "cpu|9|64000|(null)",
    ]
    fake(tmp_path, "sinfo", f"printf '%s\\n' {' '.join(repr(line) for line in lines)}")
    fake(tmp_path, "sbatch", "true")


def login_node() -> Hardware:
    """A machine without GPUs."""
    return Hardware((), 2, 8 << 30)


@pytest.mark.usefixtures("sinfo")
def test_sinfo_tells_the_gpus_of_nodes() -> None:
    """Type and number from GRES, with or without sockets behind them."""
    assert gpu_nodes("small") == [NodeKind("small", 4, "t4", 6, 192_000 << 20)]
    assert [kind.gpu for kind in gpu_nodes()] == ["t4", "a100", "titan", None]
    with pytest.raises(ConfigurationError, match="partitions are small, big, odd, untold, cpu"):
        gpu_nodes("nope")


@pytest.mark.usefixtures("sinfo")
def test_a_clusters_gpus_are_asked_about_on_its_login_node() -> None:
    """Known types as pools; of the others it is said what to type."""
    pools, said = find_pools([], None, detect=login_node)
    assert [(pool.gpu, pool.count, pool.nodes, pool.partition) for pool in pools] == [
        ("T4", 6, 4, "small"),
        ("A100-40GB", 4, 2, "big"),
        ("CPU", 0, 1, None),
    ]
    assert any("A100-40GB or A100-80GB" in note for pool in pools for note in pool.notes)
    assert [text for text in said if "titan" in text and "--partition odd --gpu 'T4:2'" in text]
    assert find_pools([], "cpu") == ((), ("Partition cpu has no GPUs. Name a partition that has, or GPUs by "
                                          "--gpu 'T4:6'.",))  # fmt: skip


@pytest.mark.usefixtures("sinfo")
def test_a_partition_of_unknown_gpus_can_be_described() -> None:
    """By both options together."""
    (pool,), _ = find_pools(["RTX 6000:2"], "odd")
    assert (pool.gpu, pool.count, pool.partition) == ("Quadro RTX 6000", 2, "odd")


def test_without_gpus_the_whole_table_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the CPU of this machine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    pools, said = find_pools([], None, detect=login_node)
    assert [pool.gpu for pool in pools] == [*(kind.name for kind in GPU_TYPES), "CPU"]
    assert all(pool.listed for pool in pools[:-1])
    assert "Name yours" in said[-1]
