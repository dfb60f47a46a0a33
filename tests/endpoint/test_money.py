"""What a limit on the cost means where tokens are not counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptmill.cost import CostReached, Price
from promptmill.errors import ConfigurationError
from tests.endpoint.behaviours.contents import StopsCounting
from tests.endpoint.producing import begun, produced, rows_of, sampled
from tests.endpoint.server import Reply, WordServer

PRICE = Price(1000.0, 2000.0)
MOST = 32
DEAREST = (3 * 1000 + MOST * 2000) / 1_000_000
"""What a row costs that nobody counted: the longest prompt that was counted, and as many tokens as it may have."""


def test_a_server_that_stops_counting_ends_the_run_at_once(tmp_path: Path, server: WordServer) -> None:
    """From the first row on: it counted in the trial alone, and nobody can tell what is spent."""
    server.behave = StopsCounting(after=0)
    run = begun(tmp_path, sampled(max_new_tokens=MOST), rows=50)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="--max-cost is set, and nobody counted") as ended:
            produced(run, server, price=PRICE, max_cost=100.0, concurrency=4)
        assert ended.value.exit_code == 78
        assert 1 <= rows_of(run).num_rows == len(server.texts) <= 8
    assert produced(run, server, price=PRICE)


@pytest.mark.parametrize("zeros", [True, False])
def test_rows_that_nobody_counted_count_as_the_dearest(tmp_path: Path, server: WordServer, zeros: bool) -> None:
    """Usage of zeros, or none, after some rows: the limit is kept, at the worst that it can be."""
    server.behave = StopsCounting(after=20, zeros=zeros)
    run = begun(tmp_path, sampled(max_new_tokens=MOST), rows=200)
    with pytest.raises(CostReached):
        produced(run, server, price=PRICE, max_cost=3.0, concurrency=4)
    table = rows_of(run)
    uncounted = table["completion_tokens"].null_count
    counted = sum(3 * 1000 + (tokens or 0) * 2000 for tokens in table["completion_tokens"].to_pylist() if tokens)
    spent = counted / 1_000_000 + uncounted * DEAREST
    assert uncounted > 10
    assert 3.0 <= spent <= 3.0 + 8 * DEAREST
    assert len(server.texts) == table.num_rows


def test_zeros_from_the_first_trial_on_are_no_count(tmp_path: Path, server: WordServer) -> None:
    """A price needs somebody who counts."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0}

    def behave(asked: object) -> Reply:
        choice = {"text": f"hello {len(server.asked)}", "finish_reason": "stop"}
        return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())

    server.behave = behave
    with pytest.raises(ConfigurationError, match="--price-in and --price-out need tokens that somebody counts"):
        produced(begun(tmp_path), server, price=PRICE)
