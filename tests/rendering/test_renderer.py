"""Prompts and chats become the tokens that the model has learned to answer, or are refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from promptmill.engine.contract import Completion, Request
from promptmill.engine.encoding import Encoder
from promptmill.engine.model import end_tokens
from promptmill.errors import ConfigurationError
from promptmill.rendering import EARLIEST, NEWEST, Renderer, Rendering
from promptmill.rendering.first import rendering_of, require_template, say_prompt
from tests.rendering.tokenizers import BEGIN, CHATML, DATED, END, GEMMA, MISTRAL, NO_HEADER, tokenizer_with

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
BEGUN = "2026-12-01T23:30:00Z"


def rendered(tokenizer: Any, *messages: dict[str, str], rendering: Rendering = NEWEST) -> str:
    """A chat as the model gets it."""
    renderer = Renderer(tokenizer, rendering)
    return renderer.decoded(renderer.tokens(None, messages))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "is empty"),
        ("{{ bos_token }}{% if add_generation_prompt %}[assistant]{% endif %}", "leaves out the prompt"),
        ("{{ raise_exception('only tools') }}", "takes no prompt: only tools"),
        ("{% for m in messages %}", "takes no prompt"),
    ],
    ids=["empty", "leaves out", "refuses", "no Jinja"],
)
def test_a_template_that_a_prompt_does_not_come_through_is_refused(template: str, said: str) -> None:
    """Before anything is loaded, with what to do."""
    renderer = Renderer(tokenizer_with(template), NEWEST)
    with pytest.raises(ConfigurationError, match=f"The chat template of m/x {said}.*chat_template.jinja"):
        require_template(renderer, "m/x", chats=False, system_prompt=False)


@pytest.mark.parametrize(
    ("template", "said"),
    [(MISTRAL, "leaves out the system prompt"), (GEMMA, "refuses a system prompt: System role")],
)
def test_a_system_prompt_that_would_not_come_to_the_model_is_refused(template: str, said: str) -> None:
    """The message says where else the text may stand; without a system prompt the template is good."""
    renderer = Renderer(tokenizer_with(template), NEWEST)
    require_template(renderer, "m/x", chats=False, system_prompt=False)
    with pytest.raises(ConfigurationError, match=f"{said}.*--template 'Be brief"):
        require_template(renderer, "m/x", chats=False, system_prompt=True)
    require_template(Renderer(tokenizer_with(CHATML), NEWEST), "m/x", chats=False, system_prompt=True)


def test_a_conversation_with_a_message_that_is_left_out_is_a_row_of_error() -> None:
    """Of a run that was begun before, and of other roles, it is generated as it was."""
    tokenizer = tokenizer_with(MISTRAL)
    encoder = Encoder(tokenizer, context=None, max_new_tokens=1)
    for role in ("system", "tool"):
        refused = encoder.encode(Request(0, 1, messages=({"role": role, "content": "x"}, USER)))
        assert isinstance(refused, Completion)
        assert refused.error == (
            f"The model's chat template leaves out messages of the role {role}. Put their text into the user's message."
        )
    assert rendered(tokenizer, USER) == "<s>[INST]Hi[/INST]"
    assert rendered(tokenizer, USER, {"role": "assistant", "content": "Yes"}, USER).count("Yes") == 1
    assert rendered(tokenizer, SYSTEM, USER, rendering=EARLIEST) == "<s>[INST]Hi[/INST]"


def test_a_turn_is_opened_where_the_template_opens_none(caplog: pytest.LogCaptureFixture) -> None:
    """By the header that an answer has in a conversation; a template that needs none gets none."""
    tokenizer = tokenizer_with(NO_HEADER, special=("<|im_start|>", "<|im_end|>"))
    with caplog.at_level(logging.INFO):
        assert rendered(tokenizer, USER) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "opens no turn for the assistant" in caplog.text
    assert rendered(tokenizer, USER, rendering=EARLIEST) == "<|im_start|>user\nHi<|im_end|>\n"
    assert rendered(tokenizer_with(CHATML), USER).count("assistant") == 1
    assert rendered(tokenizer_with(MISTRAL), USER) == "<s>[INST]Hi[/INST]"


def test_the_token_that_ends_a_turn_ends_a_row() -> None:
    """Where the end of sequence of a base model is another one; nothing else joins the ends."""
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>", "<|im_end|>"))
    turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end_tokens(None, tokenizer) == {END, turn}
    assert end_tokens(None, tokenizer, EARLIEST) == {END}
    assert end_tokens(None, tokenizer_with(MISTRAL)) == {END}
    assert end_tokens(None, tokenizer_with(CHATML)) == {END}  # where it is no token, there is none to end a row
    assert end_tokens(None, tokenizer_with()) == {END}


def test_a_prompt_begins_once_and_is_not_ended(caplog: pytest.LogCaptureFixture) -> None:
    """A tokenizer that appends its end token leaves a model nothing to say; each thing is said once."""
    around = tokenizer_with(begins=True, ends=True)
    renderer = Renderer(around, NEWEST)
    with caplog.at_level(logging.INFO):
        assert [renderer.tokens(text, None) for text in ("ab", "<s>ab")] == [[BEGIN, 97, 98]] * 2
        renderer.tokens("<s>cd", None)
    assert caplog.text.count("one is left out") == caplog.text.count("</s> behind a prompt") == 1
    assert Renderer(around, EARLIEST).tokens("<s>ab", None) == [BEGIN, BEGIN, 97, 98, END]
    plain = tokenizer_with()
    assert Renderer(plain, NEWEST).tokens("ab</s>", None) == [97, 98, END]  # the user's own


def test_the_date_is_that_of_the_runs_beginning() -> None:
    """On any day, and on every node; a template without one has none in the run's identity."""
    tokenizer = tokenizer_with(DATED)
    rendering = rendering_of(tokenizer, BEGUN)
    assert rendering.moment == BEGUN
    assert rendered(tokenizer, USER, rendering=rendering) == "Today: 01 Dec 2026.[user]Hi[a]"
    assert rendering_of(tokenizer_with(CHATML), BEGUN) == NEWEST
    assert rendering_of(tokenizer_with(), BEGUN) == NEWEST


def test_a_date_that_cannot_be_fixed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Its format is worked out by the template."""
    tokenizer = tokenizer_with("{{ strftime_now('%d ' + '%b') }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert rendering_of(tokenizer, BEGUN) == NEWEST
    assert "rows differ by it" in caplog.text


def test_several_templates_without_a_usual_one_are_refused() -> None:
    """With their names."""
    with pytest.raises(ConfigurationError, match=r"several chat templates \(rag, tools\)"):
        rendering_of(tokenizer_with({"rag": CHATML, "tools": CHATML}), BEGUN)
    assert rendering_of(tokenizer_with({"default": CHATML, "tools": CHATML}), BEGUN) == NEWEST


def test_the_first_prompt_is_shown_as_the_model_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    """With its special tokens and their number; a long one is cut."""
    renderer = Renderer(tokenizer_with(CHATML, special=("<|im_start|>", "<|im_end|>")), NEWEST)
    with caplog.at_level(logging.INFO):
        say_prompt("The first prompt", renderer, None, [USER])
        say_prompt("The second prompt", renderer, "x" * 10_000, None)
    assert r"'<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n'" in caplog.text
    assert "The second prompt as the model gets it, 10000 tokens" in caplog.text
    assert len(caplog.text) < 1500
