"""Fixtures: a real Slurm, or a skip that says what to install."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing_programs

REQUIRE = "PROMPTMILL_REQUIRE_SLURM"


@pytest.fixture(scope="session")
def _slurm() -> Iterator[Cluster]:
    missing = missing_programs()
    if missing:
        text = f"no {', '.join(missing)} here: install Slurm (on Debian: apt-get install slurm-wlm munge)"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{text}; {REQUIRE}=1 makes that a failure")
        pytest.skip(text)
    cluster = Cluster()
    try:
        try:
            cluster.start()
        except (TimeoutError, RuntimeError) as error:
            pytest.fail(f"Slurm did not start ({error}):\n{cluster.log()}")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(_slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster of the session without jobs, and with its configuration in the environment."""
    monkeypatch.setenv("SLURM_CONF", _slurm.env["SLURM_CONF"])
    _slurm.cancel_all()
    yield _slurm
    _slurm.cancel_all()
