"""Models and tokenizers that misbehave: one row at fault is one `error` row, and a broken device ends the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from promptmill.errors import EngineError
from tests.engine.intercept import watch
from tests.engine.tiny import EOS, VOCABULARY, greedy, prompts, requests, run, tiny_model

WAYS: tuple[Way, ...] = ("slots", "batches")
END = 258  # a special token that ends nothing
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def says(model: Any, *tokens: int) -> None:
    """Have the model generate these tokens, whatever it is asked, and then the last of them for ever."""

    def after(ids: torch.Tensor, output: Any) -> None:
        logits = output.logits
        for row in range(logits.shape[0]):
            steps[row] = steps.get(row, -1) + 1
            logits[row, -1] = -torch.inf
            logits[row, -1, tokens[min(steps[row], len(tokens) - 1)]] = 0.0

    steps: dict[int, int] = {}
    watch(model, after=lambda ids, output: after(ids, output) if ids.shape[1] == 1 else None)


def answer(model: Any, tokenizer: Any, tokens: Sequence[int], **sampling: Any) -> Any:
    """What becomes of one row when the model says these tokens."""
    engine = TransformersEngine(model, tokenizer, greedy(len(tokens), **sampling), way="slots")
    run(engine, requests(["warm up"]))
    says(model, *tokens)
    (completion,) = run(engine, requests(["a"]))
    return completion


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 5])
def test_a_pass_that_raises_once_costs_nothing(model: Any, tokenizer: Any, way: Way, count: int) -> None:
    """Whichever pass it is, and however few rows are under way: alone, each of them works."""
    asked = requests(prompts(count))
    engine = TransformersEngine(model, tokenizer, greedy(4), batch_size=3, way=way)
    expected = run(engine, asked)
    calls = fails_at = 0

    def before(ids: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise RuntimeError("a cosmic ray")

    watch(model, before)
    run(engine, asked)
    passes = calls
    for fails_at in range(1, passes + 1):
        calls = 0
        assert run(engine, asked) == expected, f"pass {fails_at} of {passes}"


class Stumbling:
    """A tokenizer that fails on some rows."""

    def __init__(self, tokenizer: Any, *, on_text: str = "\0", on_token: int = -1) -> None:
        self._tokenizer, self._on_text, self._on_token = tokenizer, on_text, on_token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **options: Any) -> Any:
        """The tokens of a text, if it is not the one."""
        if self._on_text in text:
            raise UnicodeError("I stumbled")
        return self._tokenizer(text, **options)

    def decode(self, tokens: list[int], **options: Any) -> str:
        """As the other, with nothing to say of one token."""
        if self._on_token in tokens:
            raise TypeError("sequence item 0: expected str instance, NoneType found")
        return str(self._tokenizer.decode(tokens, **options))


def test_a_tokenizer_that_fails_on_one_prompt_costs_that_row(model: Any, tokenizer: Any) -> None:
    """The row says why; the others are as ever."""
    good = prompts(6)
    expected = run(TransformersEngine(model, tokenizer, greedy()), requests(good))
    found = run(TransformersEngine(model, Stumbling(tokenizer, on_text="Q"), greedy()), requests([*good, "aQa"]))
    assert found[:6] == expected
    assert (found[6].finish_reason, found[6].error) == (
        "error",
        "The prompt can't be encoded: UnicodeError: I stumbled",
    )


@pytest.mark.parametrize("stop", [(), ("zz",)], ids=["", "with a stop string"])
def test_a_tokenizer_that_cannot_read_a_token_costs_that_row(model: Any, tokenizer: Any, stop: tuple[str, ...]) -> None:
    """Python tokenizers fail on ids that they do not know, while the row is read or at its end."""
    texts = prompts(8)
    engine = TransformersEngine(model, tokenizer, greedy(stop=stop), batch_size=3)
    expected = run(engine, requests(texts))
    token = next(
        token for token in b"abcdefghijklmnopqrstuvwxyz" if 0 < sum(chr(token) in one.response for one in expected) < 6
    )
    found = run(
        TransformersEngine(model, Stumbling(tokenizer, on_token=token), greedy(stop=stop), batch_size=3),
        requests(texts),
    )
    bad = [one for one in found if one.finish_reason == "error"]
    assert 0 < len(bad) < 8
    assert all("can't be read as text: TypeError" in str(one.error) for one in bad)
    assert all(one == expected[one.position] for one in found if one.finish_reason != "error")


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ([0x61, 0xE2, 0x82], "a"),
        ([0x61, 0xEF, 0xBF, 0xBD], "a" + REPLACEMENT),
        ([0xFF, 0xFE, 0xC0, 0x80], REPLACEMENT * 4),
        ([0xE2, 0x82, 0x61, 0x62], REPLACEMENT + "ab"),
        ([0xE2, 0x82, 0xAC, 0x61], "€a"),
        ([0xFF, 0xFE, 0xC0, 0x80, 0x61], REPLACEMENT * 4 + "a"),
        ([0xED, 0xA0, 0x80, 0x61], REPLACEMENT * 3 + "a"),
    ],
    ids=[
        "half at the end",
        "the replacement character itself",
        "never UTF-8 to the end",
        "half in the middle",
        "whole",
        "never UTF-8",
        "a surrogate",
    ],
)
@pytest.mark.parametrize("stop", [(), ("never",)], ids=["", "with a stop string"])
def test_bytes_that_are_no_text_become_replacement_characters(
    model: Any, tokenizer: Any, tokens: list[int], text: str, stop: tuple[str, ...]
) -> None:
    """The response is text that can be written anywhere, and the row is none in error."""
    completion = answer(model, tokenizer, tokens, stop=stop)
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == (
        text,
        "length",
        len(tokens),
    )
    completion.response.encode()


def test_an_answer_of_special_tokens_alone_is_empty(model: Any, tokenizer: Any) -> None:
    """They count as tokens, and say nothing; the one that ends the row is the reason."""
    completion = answer(model, tokenizer, [END, END, END])
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == ("", "length", 3)
    completion = answer(tiny_model(), tokenizer, [END, EOS, EOS])
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == ("", "stop", 2)


@pytest.mark.parametrize("stop", [(), ("never",)], ids=["", "with a stop string"])
def test_a_token_that_the_tokenizer_does_not_know_says_nothing(tokenizer: Any, stop: tuple[str, ...]) -> None:
    """Models have more embeddings than tokens, for the sake of round numbers; one may be sampled."""
    model = tiny_model()
    model.resize_token_embeddings(VOCABULARY + 60)
    completion = answer(model, tokenizer, [0x61, VOCABULARY + 50, 0x62], stop=stop)
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == ("ab", "length", 3)


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_the_model_does_not_know_costs_that_row(tokenizer: Any, way: Way) -> None:
    """It is found before the pass: on a GPU that would take the device down."""
    model = tiny_model()
    model.set_input_embeddings(nn.Embedding(110, 32).from_pretrained(model.get_input_embeddings().weight[:110]))
    model.generation_config.eos_token_id = None
    seen = watch(model, after=lambda ids, output: output.logits[..., 110:].fill_(-torch.inf))
    found = run(TransformersEngine(model, tokenizer, greedy(5), way=way), requests(["abc", "axyz", "bcd"]))
    assert [one.finish_reason for one in found] == ["length", "error", "length"]
    assert (
        found[1].error == "The tokenizer has made the token 122 of the prompt, and the model knows 110 tokens, from 0."
    )
    assert all(int(ids.max()) < 110 for ids in seen.ids)


def test_a_device_that_is_lost_ends_the_run_at_once(model: Any, tokenizer: Any) -> None:
    """Rows are not tried one by one on a device that takes nothing any more; what had finished was handed over."""
    asked = requests(prompts(12))
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=3)
    run(engine, asked[:1])
    calls = 0

    def before(ids: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        if calls >= 20:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    watch(model, before)
    given = []
    with pytest.raises(EngineError, match="illegal memory access"):
        for completion in engine.generate(asked, lambda: False):
            given.append(completion)  # noqa: PERF402 - what came before the error counts
    assert calls == 20
    assert len(given) >= 3


def test_refused_rows_come_after_the_others(model: Any, tokenizer: Any) -> None:
    """At the head of a shard they would look as if nothing could be generated at all."""
    texts = ["x" * 200, *prompts(4), "x" * 300]
    engine = TransformersEngine(model, tokenizer, greedy(3))
    order = [completion.finish_reason for completion in engine.generate(requests(texts), lambda: False)]
    assert order == ["length"] * 4 + ["error"] * 2
    assert [one.finish_reason for one in run(engine, requests(["x" * 200] * 3))] == ["error"] * 3
