"""What the model wrote is what is kept: the first space, whole characters, and nothing from a stop string on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from promptmill.chat.shown import ShownText
from promptmill.engine.contract import Completion, Request
from promptmill.engine.finish import Finish
from promptmill.engine.rows import Row
from promptmill.rendering import EARLIEST, NEWEST, Rendering
from tests.engine.tiny import byte_tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def words() -> Any:
    """A tokenizer of SentencePiece's kind: words begin with their space, and bytes stand for other characters."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "▁is": 4, "▁Paris": 5, "▁city": 6, ".": 7}
    vocabulary |= {f"<0x{byte:02X}>": 8 + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def tokens_of(text: str) -> list[int]:
    """The tokens of bytes of the tokenizer of words."""
    return [8 + byte for byte in text.encode()]


def lines() -> Any:
    """A tokenizer with runs of line ends as tokens, as Gemma's."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("\n\n", "\n\n\n", "Answer")])
    return tokenizer


def finished(
    tokenizer: Any,
    tokens: Sequence[int],
    *,
    stop: tuple[str, ...] = (),
    prompt: Sequence[int] = (1, 4),
    chat: bool = False,
    rendering: Rendering = NEWEST,
) -> Completion:
    """The row of a model that says these tokens, and is cut off after them if nothing ends it before."""
    messages = ({"role": "user", "content": "x"},) if chat else None
    request = Request(0, 0, prompt=None if chat else "x", messages=messages)
    finish = Finish(tokenizer, frozenset({tokenizer.eos_token_id}), stop, rendering=rendering)
    return finish.whole(Row(request, list(prompt), limit=len(tokens)), tokens)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({}, " Paris city"),
        ({"rendering": EARLIEST}, "Paris city"),
        ({"chat": True}, "Paris city"),
        ({"prompt": (1,)}, "Paris city"),
    ],
    ids=["plain", "a run from before", "a chat", "no text before"],
)
def test_a_completion_keeps_the_space_that_it_begins_with(how: dict[str, Any], text: str) -> None:
    """Prompt and response together are what the model wrote; runs that were begun before stay as they were."""
    assert finished(words(), [5, 6, 2], **how).response == text


def test_a_stop_string_is_found_at_the_very_beginning() -> None:
    """With the space that it begins with."""
    completion = finished(words(), [5, 6, 7], stop=(" Par",))
    assert (completion.response, completion.finish_reason, completion.completion_tokens) == ("", "stop", 1)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_row_that_is_cut_inside_a_character_ends_before_it(size: int) -> None:
    """Tokenizers show what is not whole as one sign, or as one a byte, even of the characters right before it."""
    tokens = [5, *tokens_of("é"), *tokens_of("🦜")[:size]]
    assert finished(words(), tokens).response == " Parisé"
    assert finished(byte_tokenizer(), [*"é🦜".encode()][: 2 + size], prompt=[97]).response == "é"
    assert finished(words(), tokens, rendering=EARLIEST).response.endswith(REPLACEMENT)


@pytest.mark.parametrize(
    ("before", "said"), [(b"", "\n\n"), (b"", "\n\n\n"), (b"\n", "\n\n"), (b"\n\n", ""), (b"", "\n\n\n\n\n")]
)
def test_a_stop_string_that_is_a_token_is_found_in_others_too(before: bytes, said: str) -> None:
    """It is the text that counts, however the model spelt it."""
    tokenizer = lines()
    tokens = [*b"yes", *before, *tokenizer(said)["input_ids"]]
    completion = finished(tokenizer, [*tokens, 33, 33], stop=("\n\n",), prompt=[97])
    assert (completion.response, completion.finish_reason) == ("yes", "stop")
    assert completion.completion_tokens <= len(tokens)


def test_a_special_token_as_stop_string_ends_a_row() -> None:
    """Though it is no text that a response shows; and its text does, if the model spells it out."""
    tokenizer = lines()
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert finished(tokenizer, [97, end, 98], stop=("<|end|>",), prompt=[97]).response == "a"
    assert finished(tokenizer, [*b"a<|end|>b"], stop=("<|end|>",), prompt=[97]).response == "a"


def test_special_tokens_inside_a_completion_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """What they kept apart runs together in the response; the token that ends a row is none of them."""
    tokenizer = byte_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    finish = Finish(tokenizer, frozenset({tokenizer.eos_token_id}), ())
    for place in range(2):
        row = Row(Request(place, 0, prompt="x"), [97], limit=9)
        assert finish.whole(row, [97, end, 98, tokenizer.eos_token_id]).response == "ab"
    (record,) = caplog.records
    assert "<|end|>" in record.getMessage()
    assert "</s>" not in record.getMessage()


def test_a_chat_shows_what_a_run_keeps() -> None:
    """Piece by piece, the first space included."""
    tokenizer = words()
    pieces: list[str] = []
    shown = ShownText(tokenizer, (), pieces.append, before=[1, 4])
    tokens = [5, 6, 7, *tokens_of("é"), 7]
    for count in range(1, len(tokens) + 1):
        shown.grow(tokens[:count])
    assert "".join(pieces) == " Paris city.é."


def test_special_tokens_inside_a_completion_are_kept_if_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """All but the one that ends the row; a stop string beyond one is found."""
    tokenizer = words()
    request = Request(0, 0, messages=({"role": "user", "content": "x"},))
    for stop, tokens, text in (((), [5, 0, 6, 2], "Paris<unk> city"), ((" city",), [5, 0, 6, 5], "Paris<unk>")):
        finish = Finish(tokenizer, frozenset({2}), stop, keep_special=True)
        assert finish.whole(Row(request, [1, 4], limit=9), tokens).response == text
    assert finished(tokenizer, [5, 0, 6, 2], chat=True).response == "Paris city"
    assert caplog.text.count("--keep-special-tokens") == 1
