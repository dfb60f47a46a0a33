"""What every engine promises (promptmill/engine/contract.py), on the same small model."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from promptmill.endpoint.engine import EndpointEngine
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.record import Served
from promptmill.engine.contract import Completion, Engine, Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.rendering import EARLIEST, NEWEST
from promptmill.sampling import SamplingParameters
from tests.endpoint.asking import SHORT
from tests.engine.serving import transformers_serve
from tests.engine.tiny import CONTEXT, byte_tokenizer, greedy, prompts, requests, tiny_model

Make = Callable[[SamplingParameters], Engine]
MOST = 12
TEXTS = prompts(24, longest=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny GPT-2 as a Hugging Face folder."""
    path = tmp_path_factory.mktemp("contract") / "tiny"
    tiny_model("gpt2").save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A server that has it."""
    with transformers_serve(folder, folder.parent / "server.log") as found:
        yield found


ENGINES = ["transformers", "endpoint completions", "endpoint chat", *(["vllm"] if find_spec("vllm") else [])]
"""All there are; vLLM is in an environment of its own, where `make test-vllm` runs this file and more."""


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, folder: Path) -> Make:
    """Makes an engine; a further one is a further branch here."""
    if request.param == "transformers":
        return lambda sampling: TransformersEngine(tiny_model("gpt2"), byte_tokenizer(), sampling)
    if request.param == "vllm":
        return vllm_engine(folder)
    options = EndpointOptions((request.getfixturevalue("url"),), concurrency=4, waits=SHORT)
    served = Served("chat" if "chat" in request.param else "completions", {}, "greedy", "server")
    return lambda sampling: EndpointEngine(str(folder), sampling, served, options)


def vllm_engine(folder: Path) -> Make:
    """Makes engines with the one vLLM of this process."""
    from promptmill.vllm.engine import VllmEngine
    from promptmill.vllm.loading import load
    from promptmill.vllm.plan import VllmPlan

    plan = VllmPlan(str(folder), "float32", "none", gpus=0, memory_share=None, cache_bytes=64 * 2**20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load(plan, 1)
    return lambda sampling: VllmEngine(loaded, sampling)


def asked(make: Make, texts: list[str]) -> list[Request]:
    """The texts as the engine takes them: a chat where it is asked for chats."""
    plain = requests(texts)
    engine = make(greedy())
    if not (isinstance(engine, EndpointEngine) and engine.chats):
        return plain
    return [Request(one.position, one.seed, messages=({"role": "user", "content": str(one.prompt)},)) for one in plain]


def generated(engine: Engine, given: list[Request]) -> list[Completion]:
    """All completions, in the order of the requests."""
    return sorted(engine.generate(given, lambda: False), key=lambda completion: completion.position)


def reference(make: Make, given: list[Request], sampling: SamplingParameters) -> list[Completion]:
    """One row at a time by the default engine; a server ends texts where it likes, in half a character too."""
    rendering = EARLIEST if isinstance(make(sampling), EndpointEngine) else NEWEST
    engine = TransformersEngine(tiny_model("gpt2"), byte_tokenizer(), sampling, batch_size=1, rendering=rendering)
    return generated(engine, given)


def facts(completions: list[Completion]) -> list[tuple[object, ...]]:
    """All of them but for the seconds."""
    return [
        (one.position, one.response, one.finish_reason, one.prompt_tokens, one.completion_tokens, one.error)
        for one in completions
    ]


def test_greedy_completions_are_those_of_the_model(make: Make) -> None:
    """Each request once; text, end and counts the same with every engine; the prompt is not echoed."""
    given = asked(make, TEXTS)
    assert facts(generated(make(greedy(MOST)), given)) == facts(reference(make, given, greedy(MOST)))


def test_a_stop_string_ends_a_completion_and_is_no_part_of_it(make: Make) -> None:
    """The text before it is the response, and it ended by `stop`."""
    given = asked(make, TEXTS[:6])
    (whole,) = {one.response[3:5] for one in reference(make, given, greedy(MOST))[:1]}
    (stopped,) = generated(make(greedy(MOST, stop=(whole,))), given[:1])
    assert whole not in stopped.response
    assert stopped.finish_reason == "stop"


def test_a_row_that_cannot_be_generated_is_an_error_row(make: Make) -> None:
    """A prompt longer than the context disturbs no other row."""
    given = asked(make, [*TEXTS[:3], "x" * (2 * CONTEXT), *TEXTS[3:6]])
    completions = generated(make(greedy(MOST)), given)
    assert [one.finish_reason == "error" for one in completions] == [place == 3 for place in range(7)]
    assert completions[3].error
    assert completions[3].response == ""
    assert [one.response for one in completions[:3]] == [
        one.response for one in reference(make, given[:3], greedy(MOST))
    ]


def test_told_to_stop_before_the_first_row_it_makes_none(make: Make) -> None:
    """And ends."""
    assert list(make(greedy(MOST)).generate(asked(make, TEXTS), lambda: True)) == []


def test_told_to_stop_in_the_middle_it_ends_with_whole_rows(make: Make) -> None:
    """What it yields is as if it had not been told; and it asks while nothing finishes."""
    given, done = asked(make, TEXTS * 16), []  # more than any engine computes at a time
    given = [Request(place, one.seed, one.prompt, one.messages) for place, one in enumerate(given)]
    stop = threading.Event()
    for completion in make(greedy(MOST)).generate(given, stop.is_set):
        done.append(completion)
        if len(done) == 5:
            stop.set()
    assert 5 <= len(done) < len(given)
    expected = {one.position % len(TEXTS): one.response for one in reference(make, given[: len(TEXTS)], greedy(MOST))}
    assert all(one.response == expected[one.position % len(TEXTS)] for one in done)


def test_no_row_is_begun_that_may_not_be(make: Make) -> None:
    """The iterator ends without a row, and without an error."""
    assert list(make(greedy(MOST)).generate(asked(make, TEXTS), lambda: False, lambda: False)) == []


def test_no_requests_are_no_completions(make: Make) -> None:
    """And no error."""
    assert generated(make(greedy(MOST)), []) == []


def test_an_engine_can_be_used_again(make: Make) -> None:
    """A process fills shard after shard with it."""
    engine, given = make(greedy(MOST)), asked(make, TEXTS[:4])
    assert facts(generated(engine, given)) == facts(generated(engine, given))


def test_an_iterator_that_is_given_up_leaves_nothing_behind(make: Make) -> None:
    """An error of the caller's, a full disk say, ends it in the middle; the engine works on."""
    engine, given = make(greedy(MOST)), asked(make, TEXTS[:8])
    iterator = engine.generate(given, lambda: False)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert len(generated(engine, given)) == 8
