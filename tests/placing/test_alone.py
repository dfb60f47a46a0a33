"""One process at a time measures a run's model on a machine."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from promptmill.placing.alone import placing_alone


def test_a_second_process_says_for_whom_it_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And has its turn when the first is through; another run's model is not waited for."""
    order = []

    def second() -> None:
        with placing_alone(tmp_path / "run", tmp_path):
            order.append("second")

    with caplog.at_level(logging.WARNING, "promptmill"), ThreadPoolExecutor() as pool:
        with placing_alone(tmp_path / "run", tmp_path), placing_alone(tmp_path / "another", tmp_path):
            waiting = pool.submit(second)
            while "waiting for it" not in caplog.text:
                time.sleep(0.01)
            order.append("first")
        waiting.result()
    assert order == ["first", "second"]
    assert f"process {os.getpid()} since" in caplog.text
