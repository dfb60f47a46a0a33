"""The meeting does not refuse a server that takes the run's own settings, and asks for them as the server wants."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from promptmill.endpoint.record import recorded_served
from promptmill.errors import ConfigurationError
from promptmill.files import read_json, write_json
from promptmill.run import recorded_identity
from promptmill.settings import RunSettings
from tests.endpoint.behaviours import strict
from tests.endpoint.behaviours.strict import Strict
from tests.endpoint.producing import begun, produced, rows_of, sampled
from tests.endpoint.server import WordServer

STOPS = ("aa", "bb", "cc", "dd", "ee")
GREEDY = sampled(temperature=0, max_new_tokens=64)
PLAIN = sampled(max_new_tokens=64)
TAKEN = {
    "seeds are forbidden": (strict.NO_SEED, PLAIN),
    "top_p 1 is refused, greedy": (strict.TGI, GREEDY),
    "top_p 1 is refused, sampled": (strict.TGI, sampled(top_p=1)),
    "temperature up to 1": (strict.UP_TO_ONE, PLAIN),
    "temperature up to 1, with top_k": (strict.UP_TO_ONE, sampled(top_k=5)),
    "temperature 1 alone": (strict.ONE_ALONE, sampled(temperature=1)),
    "max_completion_tokens": (strict.COMPLETION_TOKENS, PLAIN),
    "four stop strings": (strict.FOUR_STOPS, sampled(stop=STOPS)),
    "no short requests": (strict.NOT_SHORT, PLAIN),
    "one name of the penalty": (strict.ONE_PENALTY, sampled(repetition_penalty=1.2)),
    "a penalty up to 2": (strict.LOW_PENALTY, sampled(repetition_penalty=1.2)),
    "stream has to be false": (strict.NOT_STREAMED, PLAIN),
    "several at once": (strict.EVERYTHING, sampled(top_p=1, stop=STOPS)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_server_that_takes_the_runs_settings_makes_its_rows(tmp_path: Path, server: WordServer, name: str) -> None:
    """What it forbids is left out or said otherwise where that changes nothing; no row is an error."""
    server.behave, settings = TAKEN[name]
    run = begun(tmp_path, settings, rows=12)
    assert produced(run, server)
    table = rows_of(run)
    assert table["error"].null_count == table.num_rows == 12
    assert not any(stop in response for stop in settings.sampling.stop for response in table["response"].to_pylist())
    row = next(asked.body for asked in reversed(server.asked) if "lighthouse" not in asked.text)
    assert row.get("max_tokens", row.get("max_completion_tokens")) == settings.sampling.max_new_tokens
    assert row["temperature"] == settings.sampling.temperature


def test_a_seed_that_is_not_sent_is_said_and_in_the_identity(
    tmp_path: Path, server: WordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of the same seed twice are not to be had: the card says so, and a run with seeds is another one."""
    server.behave = strict.NO_SEED
    run = begun(tmp_path, PLAIN)
    with caplog.at_level(logging.WARNING):
        assert produced(run, server)
    assert recorded_identity(run).served == {"api": "completions", "about": {"root": "words-1"}, "left_out": ["seed"]}
    assert recorded_served(run).seeds == "refused"
    assert "not sent" in recorded_served(run).seeds_in_words
    assert "refuses `seed`" in caplog.text
    assert all("seed" not in asked.body for asked in server.asked if "lighthouse" not in asked.text)


@pytest.mark.parametrize(("settings", "sent"), [(GREEDY, None), (sampled(top_p=1), 1), (sampled(top_p=0.9), 0.9)])
def test_top_p_is_sent_where_something_is_drawn(
    tmp_path: Path, server: WordServer, settings: RunSettings, sent: float | None
) -> None:
    """Even 1, as servers have defaults of their own; a server that refuses it is asked without."""
    assert produced(begun(tmp_path, settings), server)
    assert server.asked[-1].body.get("top_p") == sent


def test_what_the_user_asked_for_is_not_left_out(tmp_path: Path, server: WordServer) -> None:
    """A server without top_k is refused in its own words, and not asked more than a few times."""
    server.behave = Strict(lambda body: "unknown field: top_k" if "top_k" in body else None)
    with pytest.raises(ConfigurationError, match=r"does not take the run's settings.*unknown field: top_k") as refused:
        produced(begun(tmp_path, sampled(top_k=4)), server)
    assert refused.value.exit_code == 78
    assert len(server.asked) <= 9


def test_a_record_from_before_is_asked_as_before(tmp_path: Path, server: WordServer) -> None:
    """A run that was begun by another version has no such keys, and goes on."""
    run = begun(tmp_path, PLAIN, rows=4)
    assert produced(run, server)
    old = {name: value for name, value in read_json(run.server).items() if name not in ("dialect", "origin")}
    run.server.unlink()
    write_json(run.server, old)
    for shard in run.shards.iterdir():
        if shard.is_dir():
            for chunk in shard.iterdir():
                chunk.unlink()
        else:
            shard.unlink()
    assert produced(run, server)
    assert server.asked[-1].body["seed"] >= 0
    assert server.asked[-1].body["max_tokens"] == 64
