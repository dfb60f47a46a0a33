"""From requests to tokens, and from tokens to responses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from promptmill.engine.contract import Completion, Request
from promptmill.engine.encoding import LOOK_AHEAD, Encoder
from promptmill.engine.rows import Row
from promptmill.engine.transformers import TransformersEngine
from promptmill.errors import ConfigurationError
from tests.engine.intercept import watch
from tests.engine.tiny import BOS, CONTEXT, greedy, requests, run, tiny_model


def _chat(role: str, content: str) -> Request:
    return Request(0, 1, messages=({"role": role, "content": content},))


def test_messages_go_through_the_chat_template(model: Any, tokenizer: Any) -> None:
    """A chat and its rendered text give the same completion and the same count of prompt tokens."""
    engine = TransformersEngine(model, tokenizer, greedy())
    rendered = Request(0, 1, prompt="[user]hello[assistant]")
    assert run(engine, [_chat("user", "hello")]) == run(engine, [rendered])


def test_row_that_the_template_refuses_is_an_error_row(model: Any, tokenizer: Any) -> None:
    """A template that raises makes one `error` row, which says why, and leaves the others alone."""
    rows = [_chat("tool", "x"), Request(1, 1, prompt="hello")]
    refused, other = run(TransformersEngine(model, tokenizer, greedy()), rows)
    assert refused.finish_reason == "error"
    assert "no tools here" in str(refused.error)
    assert other.finish_reason == "length"


def test_prompt_without_room_is_an_error_row_that_names_the_sizes(model: Any, tokenizer: Any) -> None:
    """A prompt as long as the context is refused; one token less leaves room for one."""
    full, almost = run(TransformersEngine(model, tokenizer, greedy()), requests(["a" * CONTEXT, "a" * (CONTEXT - 1)]))
    assert (full.finish_reason, full.prompt_tokens, full.completion_tokens) == ("error", CONTEXT, 0)
    assert str(CONTEXT) in str(full.error)
    assert (almost.finish_reason, almost.completion_tokens) == ("length", 1)


@pytest.mark.parametrize("chat", [False, True])
def test_prompt_that_cannot_fit_is_never_encoded_whole(tokenizer: Any, chat: bool) -> None:
    """Some gigabytes of memory for a text of 30 MB are spared: a part of it is too long already."""
    text = "ab " * 1_000_000
    given: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, text: str, **options: Any) -> Any:
            given.append(len(text))
            return tokenizer(text, **options)

    encoder = Encoder(Counting(), context=CONTEXT, max_new_tokens=1)
    refused = encoder.encode(_chat("user", text) if chat else Request(0, 1, prompt=text))
    assert isinstance(refused, Completion)
    assert refused.finish_reason == "error"
    assert "no room is left for a completion" in str(refused.error)
    assert given
    assert sum(given) < 200_000


def test_long_prompt_of_few_tokens_is_encoded() -> None:
    """How many characters a token has is the tokenizer's affair: what fits in the end is not refused."""

    class Thrifty:
        bos_token_id = None
        eos_token_id = None

        def __call__(self, text: str, **options: Any) -> Any:
            return {"input_ids": [7] * (len(text) // 100_000)}

    row = Encoder(Thrifty(), context=64, max_new_tokens=4).encode(Request(0, 1, prompt="x" * 1_000_000))
    assert isinstance(row, Row)
    assert len(row.prompt) == 10


def test_completion_ends_at_the_context(tokenizer: Any) -> None:
    """Where the context ends before `max_new_tokens`, the completion is cut there with `length`, on both ways."""
    for kind in ("llama", "gpt2"):
        for way in ("slots", "batches"):
            engine = TransformersEngine(tiny_model(kind), tokenizer, greedy(40), way=way)
            (completion,) = run(engine, requests(["a" * (CONTEXT - 7)]))
            assert (completion.finish_reason, completion.completion_tokens) == ("length", 7)


def test_empty_prompt_starts_from_bos(model: Any, tokenizer: Any) -> None:
    """An empty prompt is the BOS token alone, which is never part of the response."""
    engine = TransformersEngine(model, tokenizer, greedy())
    run(engine, requests(["warm up"]))
    passes = watch(model)
    (completion,) = run(engine, requests([""]))
    assert completion.prompt_tokens == 1
    assert passes.ids[0].tolist() == [[BOS]]
    assert "<s>" not in completion.response


def test_stop_string_is_found_across_tokens_and_cut(model: Any, tokenizer: Any) -> None:
    """A stop string of several tokens ends the row where it begins, with `stop`, and no pass is run after it."""
    (whole,) = run(TransformersEngine(model, tokenizer, greedy(24)), requests(["hello"]))
    text = whole.response
    place = next(place for place in range(4, 16) if text[place : place + 3].isascii())
    stop = text[place : place + 3]
    (cut,) = run(TransformersEngine(model, tokenizer, greedy(24, stop=(stop, "never"))), requests(["hello"]))
    assert (cut.response, cut.finish_reason) == (text[: text.index(stop)], "stop")
    assert cut.completion_tokens < whole.completion_tokens


def test_stop_string_that_is_a_token_ends_a_row(model: Any, tokenizer: Any) -> None:
    """A stop string that is a special token is recognised by its id, as its text is stripped."""
    end = tokenizer.convert_tokens_to_ids("<|end|>")

    def say_end(ids: Any, output: Any) -> None:
        output.logits[..., end] = 1e4

    watch(model, after=say_end)
    engine = TransformersEngine(model, tokenizer, greedy(stop=("<|end|>",)))
    (completion,) = run(engine, requests(["hello"]))
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == ("", "stop", 1)


def test_rows_are_ordered_by_length_within_a_bounded_window(tokenizer: Any) -> None:
    """Only a window is read ahead; lengths fall in the first and rise in the next."""
    taken = []

    def endless() -> Any:
        for place in range(10 * LOOK_AHEAD):
            taken.append(place)
            yield Request(place, 0, prompt="a" * (1 + place % 50))

    windows = Encoder(tokenizer, context=None, max_new_tokens=1).windows(endless())
    lengths = [[len(row.prompt) for row in next(windows).rows] for _ in range(2)]
    assert lengths == [sorted(lengths[0], reverse=True), sorted(lengths[1])]
    assert len(taken) == 2 * LOOK_AHEAD


def test_common_prefix_of_a_window_is_noted(tokenizer: Any) -> None:
    """Rows know how many leading tokens all prompts share, which is never a whole prompt."""
    encoder = Encoder(tokenizer, context=None, max_new_tokens=1)
    rows = next(encoder.windows(requests(["abcde", "abcxyz", "abc"]))).rows
    assert {row.shared for row in rows} == {2}
    assert [row.shared for row in next(encoder.windows(requests(["same", "same"]))).rows] == [3, 3]


def test_batch_size_below_one_is_refused(model: Any, tokenizer: Any) -> None:
    """A batch size of 0 is refused with the value and what is allowed."""
    with pytest.raises(ConfigurationError, match="batch size is 0"):
        TransformersEngine(model, tokenizer, greedy(), batch_size=0)


def test_importing_the_engine_does_not_import_torch() -> None:
    """The contract, and the module of the engine itself, load in no time."""
    code = "import sys, promptmill.engine.contract, promptmill.engine.transformers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
