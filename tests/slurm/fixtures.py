"""Fixtures: a real Slurm, or a skip that says what to install."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.endpoint.server import WordServer
from tests.slurm.cluster import Cluster, missing_programs
from tests.slurm.running import Source, on_cpu, on_server

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


@pytest.fixture(params=["endpoint", pytest.param("transformers", marks=pytest.mark.long)])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """What makes the rows of a run that things are done to: a server at a steady pace; in the long tests a model."""
    if request.param == "transformers":
        yield on_cpu(request.getfixturevalue("slow_gpt2"), batch_size=4)
        return
    with WordServer(seconds=0.2) as server:
        yield on_server(server, at_once=4)


@pytest.fixture
def cluster(_slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster of the session without jobs, and with its configuration in the environment."""
    monkeypatch.setenv("SLURM_CONF", _slurm.env["SLURM_CONF"])
    _slurm.cancel_all()
    yield _slurm
    _slurm.cancel_all()
