"""What a real sinfo says of the GPUs of nodes."""

from __future__ import annotations

import pytest

from promptmill.errors import ConfigurationError
from promptmill.fitting.pools import find_pools
from promptmill.slurm.partitions import gpu_nodes
from tests.slurm.cluster import Cluster


@pytest.mark.usefixtures("cluster")
def test_the_partitions_of_a_real_cluster_are_read(cluster: Cluster) -> None:
    """Two GPUs on each of two nodes, of a type that is not told, so it is said what to type."""
    found = gpu_nodes("low")
    assert [(kind.partition, kind.nodes, kind.gpu, kind.gpus) for kind in found] == [("low", 2, None, 2)]
    assert found[0].host_bytes > 0
    pools, said = find_pools([], "low")
    assert (pools, len(said)) == ((), 1)
    assert "--partition low --gpu 'T4:2'" in said[0]
    with pytest.raises(ConfigurationError, match="no partition 'nope'; its partitions are "):
        gpu_nodes("nope")
