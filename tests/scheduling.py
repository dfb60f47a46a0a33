"""Several processes that run tests: which tests stay together in one of them, and which begin first.

With pytest 9.2 xdist's own groups (`--dist loadgroup`) do nothing: the name that xdist gives a test is not looked at.
"""

from __future__ import annotations

from typing import Any

import pytest

CLUSTERS = {
    "tests/slurm/test_walltime.py": "cluster 1",
    "tests/slurm/test_preemption.py": "cluster 1",
    "tests/slurm/test_array.py": "cluster 1",
    "tests/slurm/test_mishaps.py": "cluster 2",
    "tests/slurm/test_coming_back.py": "cluster 2",
    "tests/slurm/test_partitions.py": "cluster 2",
    "tests/slurm/test_server.py": "cluster 2",
    "tests/docs/test_commands.py::test_the_commands_for_slurm_run": "cluster 2",
}
"""Tests on a cluster wait most of the time: two processes have one each."""

TOGETHER = (
    "tests/chaos/test_damage.py",
    "tests/commands/test_startup.py",
    "tests/engine/test_contract.py",
    "tests/fit/test_sources.py",
    "tests/placing/test_loading.py",
    "tests/report/test_browser.py",
    "tests/workflows/test_llama_cpp.py",
)
"""Modules whose tests share what is dear to make."""


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One that gives a process that has nothing left the next test, or the next tests that belong together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid) or nodeid

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def group_of(name: str) -> str | None:
    """The group of a test, if it belongs to one."""
    for prefix, cluster in CLUSTERS.items():
        if name.startswith(prefix):
            return cluster
    return next((module for module in TOGETHER if name.startswith(module)), None)


def turn(item: pytest.Item) -> int:
    """When it begins: the clusters first, then what is marked as long, then what generates with the demo model."""
    if (group_of(item.nodeid) or "").startswith("cluster"):
        return 0
    return next((at for at, name in enumerate(("long", "demo"), 1) if item.get_closest_marker(name)), 3)
