"""How hard servers are asked: as hard as they bear."""

from __future__ import annotations

import json
import time

import pytest

from promptmill.endpoint.servers import START, Limit, Server, Servers
from tests.endpoint.asking import all_of, engine_on, requests
from tests.endpoint.server import Asked, Reply, WordServer

TOO_MUCH = Reply(429, json.dumps({"error": {"message": "slow down"}}).encode())


def test_the_limit_doubles_until_the_first_trouble_and_then_grows_by_one_a_round() -> None:
    """Slow start, then additive increase; halved once for all that was under way together."""
    limit = Limit(64)
    for _ in range(START):
        limit.worked(in_flight=64)
    assert limit.size == 2 * START
    limit.too_much(sent=1.0, now=2.0)
    limit.too_much(sent=1.5, now=2.1)
    assert limit.size == START
    for _ in range(START + 1):
        limit.worked(in_flight=64)
    assert limit.size == START + 1
    limit.too_much(sent=3.0, now=4.0)
    assert limit.size == START // 2


def test_the_limit_stays_in_its_bounds() -> None:
    """Never above what the user allows, never below one; and it does not grow while it is not used."""
    limit = Limit(10)
    for _ in range(100):
        limit.worked(in_flight=1)
    assert limit.size == START
    for _ in range(100):
        limit.worked(in_flight=10)
    assert limit.size == 10
    for moment in range(10):
        limit.too_much(sent=moment, now=moment)
    assert limit.size == 1


@pytest.mark.parametrize("most", [1, 3, 12])
def test_no_more_requests_at_a_time_than_allowed(server: WordServer, most: int) -> None:
    """And as many as that, where the server bears them."""
    server.seconds = 0.05
    all_of(engine_on(server, concurrency=most), requests(60))
    assert server.most_at_once == most


def test_a_server_that_takes_few_at_a_time_gets_few(server: WordServer) -> None:
    """429 above six at once: nearly all requests are answered, though 64 would be allowed."""
    server.seconds = 0.02
    server.behave = lambda asked: TOO_MUCH if server.at_once > 6 else None
    assert len(all_of(engine_on(server, concurrency=64), requests(300))) == 300
    assert len(server.texts) - 300 < 100


def test_retry_after_is_honoured(server: WordServer) -> None:
    """A server that asks to be left alone for a while gets no request in that time."""
    moments: list[float] = []

    def behave(asked: Asked) -> Reply | None:
        moments.append(time.monotonic())
        return Reply(429, b"{}", {"Retry-After": "0.7"}) if len(moments) == 5 else None

    server.behave = behave
    all_of(engine_on(server, concurrency=1), requests(10))
    assert moments[5] - moments[4] >= 0.7


def test_the_server_with_most_room_is_next() -> None:
    """One that rests, or is full, gets nothing; one that is new is greeted first, once."""
    servers = Servers(("a", "b"), 4)
    first = servers.next(0.0)
    assert first is not None
    first.greeting = True
    second = servers.next(0.0)
    assert second is not None
    assert second is not first
    first.greeted = second.greeted = True
    first.in_flight = 3
    assert servers.next(0.0) is second
    second.rest(0.0, 5.0)
    assert servers.next(1.0) is first
    first.in_flight = 4
    assert servers.next(1.0) is None
    assert servers.next(5.5) is second


def test_a_server_that_was_lost_is_tried_with_one_request() -> None:
    """And greeted anew."""
    server = Server("a", 64)
    server.greeted = True
    server.lost(0.0)
    assert server.room(0.0) == 0
    assert server.room(100.0) == 1
    server.greeted = True
    assert server.room(100.0) == 1


def test_what_was_learned_of_a_server_is_kept_from_shard_to_shard(server: WordServer) -> None:
    """The second shard begins with as many requests as the first came to."""
    server.seconds = 0.3
    engine = engine_on(server, concurrency=32)
    all_of(engine, requests(100))
    server.most_at_once = 0
    all_of(engine, requests(32))
    assert server.most_at_once > 2 * START
