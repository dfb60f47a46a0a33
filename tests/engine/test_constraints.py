"""What a model's generation configuration forbids or forces, against `generate` of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from promptmill.engine.contract import Request
from promptmill.engine.generation_config import followed, recommendation
from promptmill.engine.sampler import Sampler
from promptmill.engine.transformers import TransformersEngine
from promptmill.errors import EngineError
from promptmill.rendering import EARLIEST, NEWEST, Rendering
from promptmill.sampling import SamplingParameters
from tests.engine.tiny import byte_tokenizer, greedy, tiny_model

PROMPTS = ("one", "a longer prompt, this", "x")
TOKENS = 24


def rows(
    model: Any, tokenizer: Any, *, rendering: Rendering = NEWEST, sampling: SamplingParameters | None = None
) -> list[str]:
    """The responses of the engine, in one batch."""
    engine = TransformersEngine(model, tokenizer, sampling or greedy(TOKENS), rendering=rendering)
    requests = [Request(position=index, seed=index, prompt=text) for index, text in enumerate(PROMPTS)]
    done = sorted(engine.generate(requests, lambda: False), key=lambda one: one.position)
    assert [one.error for one in done] == [None] * len(PROMPTS)
    return [_whole(one.response) for one in done]


def alone(model: Any, tokenizer: Any) -> list[str]:
    """The same by `generate`, each prompt alone."""
    responses = []
    for text in PROMPTS:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS, pad_token_id=0
        )
        tokens = [token for token in made[0, ids.shape[1] :].tolist() if token != tokenizer.eos_token_id]
        responses.append(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return [_whole(text) for text in responses]


def _whole(text: str) -> str:
    """Without half a character at the end, which the engine leaves out."""
    return text.rstrip("\ufffd")


def model_with(**settings: Any) -> tuple[Any, Any]:
    """A tiny model with these generation settings."""
    model, tokenizer = tiny_model("llama"), byte_tokenizer()
    model.generation_config.update(eos_token_id=tokenizer.eos_token_id, **settings)
    return model, tokenizer


def first_tokens() -> list[int]:
    """The first token of each row where nothing is forbidden."""
    model, tokenizer = model_with()
    found = []
    for text in PROMPTS:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        found.append(int(model(ids).logits[0, -1].argmax()))
    return found


@pytest.mark.filterwarnings("ignore:Unfeasible length constraints")  # of generate, where a row may not end
@pytest.mark.parametrize(
    "settings",
    [
        {"suppress_tokens": "first"},
        {"begin_suppress_tokens": "first"},
        {"bad_words_ids": "first"},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": TOKENS},
        {"min_length": 40},
        {"forced_eos_token_id": 257},
        {"sequence_bias": "first"},
        {"exponential_decay_length_penalty": [4, 1.5]},
        {"suppress_tokens": "first", "no_repeat_ngram_size": 2, "forced_eos_token_id": 257},
    ],
    ids=lambda settings: " ".join(settings),
)
def test_rows_are_those_of_generate(settings: dict[str, Any]) -> None:
    """Rows of a batch, each with a history of its own; runs from before go on without."""
    first = first_tokens()
    forms = {"suppress_tokens": first, "begin_suppress_tokens": first, "bad_words_ids": [[token] for token in first]}
    forms |= {"sequence_bias": [[[token], -10.0] for token in first]}
    given = {name: forms[name] if value == "first" else value for name, value in settings.items()}
    model, tokenizer = model_with(**given)
    expected = alone(model, tokenizer)
    assert rows(model, tokenizer) == expected
    plain = rows(*model_with())
    assert rows(model, tokenizer, rendering=EARLIEST) == plain


def test_sampled_rows_keep_to_it_too() -> None:
    """What is forbidden never comes, at any temperature."""
    first = first_tokens()
    model, tokenizer = model_with(suppress_tokens=first)
    warm = SamplingParameters(max_new_tokens=TOKENS, temperature=1.5, top_p=1.0)
    seen: list[int] = []
    choose = Sampler.choose

    def watched(sampler: Sampler, *arguments: Any) -> Any:
        choice = choose(sampler, *arguments)
        seen.extend(choice.tokens)
        return choice

    with patch.object(Sampler, "choose", watched):
        rows(model, tokenizer, sampling=warm)
    assert len(seen) >= TOKENS
    assert not set(seen) & set(first)


def test_the_models_own_stop_strings_end_rows() -> None:
    """As `--stop` does; runs from before go on without."""
    plain = rows(*model_with())
    sign = next(char for char in plain[0][4:] if char.isascii())
    model, tokenizer = model_with(stop_strings=[sign])
    assert rows(model, tokenizer) == [text.partition(sign)[0] for text in plain]
    assert rows(model, tokenizer, rendering=EARLIEST) == plain


def write(folder: Path, value: Any) -> Path:
    """A folder with this generation configuration."""
    (folder / "generation_config.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_what_only_concerns_generate_is_left_out(tmp_path: Path) -> None:
    """Beams, caches and other models; ends and what is forbidden stay."""
    own = followed(
        write(
            tmp_path,
            {
                "eos_token_id": [1, 2],
                "suppress_tokens": [7],
                "num_return_sequences": 2,
                "num_beams": 4,
                "cache_implementation": "static",
            },
        )
    )
    assert (own.eos_token_id, own.suppress_tokens) == ([1, 2], [7])
    assert (own.num_return_sequences, own.num_beams, own.cache_implementation) == (None, None, None)
    assert followed(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"], ids=ascii)
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    """It is not passed over: it may say where rows end."""
    (tmp_path / "generation_config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(EngineError, match=r"generation_config\.json.*move it away"):
        followed(tmp_path)


def test_a_value_that_transformers_does_not_take_is_named() -> None:
    """Before any row."""
    model, tokenizer = model_with()
    model.generation_config.no_repeat_ngram_size = -3
    with pytest.raises(EngineError, match="no_repeat_ngram_size -3"):
        rows(model, tokenizer)


def test_recommendations_are_told_with_what_follows_them(tmp_path: Path) -> None:
    """Once, with the options to type; what the run has already, and transformers' defaults, are passed over."""
    write(
        tmp_path,
        {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05, "num_beams": 4},
    )
    told = recommendation(tmp_path, SamplingParameters())
    assert told == (
        "generation_config.json recommends temperature 0.6, top_k 20, repetition_penalty 1.05, and this run has other "
        "values; it follows them with --temperature 0.6 --top-k 20 --repetition-penalty 1.05. generation_config.json "
        "has num_beams 4, which no run follows: each row is one sample."
    )
    follows = SamplingParameters(temperature=0.6, top_k=20, repetition_penalty=1.05)
    write(tmp_path, {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05})
    assert recommendation(tmp_path, follows) is None
    write(tmp_path, {"temperature": 1.0, "top_k": 50, "top_p": 1.0})
    assert recommendation(tmp_path, SamplingParameters()) is None
    assert recommendation(tmp_path / "nowhere", SamplingParameters()) is None
