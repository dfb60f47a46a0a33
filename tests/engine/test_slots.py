"""Slots stay filled, share what prompts have in common, and stay within their memory."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from promptmill.engine.model import Forward
from promptmill.engine.policy import CPU_BATCH, CPU_SLOTS, Policy
from promptmill.engine.slot_cache import SlotLayer
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way, choose_decoder, why_no_slots
from promptmill.sampling import SamplingParameters
from tests.engine.intercept import watch
from tests.engine.tiny import CONFIGURATIONS, RECURRENT, greedy, prompts, requests, run, tiny_model


@pytest.mark.parametrize("kind", sorted(set(CONFIGURATIONS) - RECURRENT - {"llama4"}))
def test_attention_models_are_decoded_in_slots(kind: str) -> None:
    """All kinds of attention, with sliding windows or ALiBi too, pass the trial; chunks do not."""
    assert why_no_slots(Forward.of(tiny_model(kind))) is None


def test_recurrent_model_falls_back_with_one_line(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A state-space model is generated in static batches, and one log line says so and why."""
    engine = TransformersEngine(tiny_model("mamba"), tokenizer, greedy(4))
    with caplog.at_level(logging.INFO, logger="promptmill.engine.ways"):
        run(engine, requests(prompts(3)))
        run(engine, requests(prompts(3)))
    (record,) = (record for record in caplog.records if record.name == "promptmill.engine.ways")
    assert "static batches: it is a recurrent model" in record.getMessage()


@pytest.mark.parametrize("kind", ["recurrent_gemma", "rwkv"])
def test_cache_that_gives_other_logits_is_not_used(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A model whose cache fails the trial is computed without one, and a warning says that this is slow."""
    policy = Policy(slots=4, positions=512)
    with caplog.at_level(logging.WARNING):
        decoder = choose_decoder(Forward.of(tiny_model(kind)), policy)
    assert not decoder.refills
    assert ["computes all tokens anew" in record.getMessage() for record in caplog.records] == [True]


def test_model_whose_logits_come_out_otherwise_is_not_decoded_in_slots(model: Any) -> None:
    """A model that ignores the positions it is given fails the trial."""
    forward = Forward.of(model)
    assert "off by" in str(why_no_slots(Forward(model, forward.arguments - {"position_ids"})))


def test_slots_are_refilled_at_once(model: Any, tokenizer: Any) -> None:
    """Rows of very different lengths take few passes more than their tokens need, unlike static batches."""
    engine = TransformersEngine(model, tokenizer, SamplingParameters(max_new_tokens=40, temperature=1), batch_size=4)
    asked = requests(prompts(24))
    tokens = sum(completion.completion_tokens for completion in run(engine, asked))
    passes = watch(model)
    run(engine, asked)
    decoding = [ids for ids in passes.ids if ids.shape[1] == 1]
    assert passes.most_rows == 4
    assert len(decoding) < tokens / 4 + 45


@pytest.mark.parametrize(
    ("way", "asked", "rows"), [("slots", None, CPU_SLOTS), ("batches", None, CPU_BATCH), ("batches", 50, 50)]
)
def test_static_batches_are_smaller(
    way: Way, asked: int | None, rows: int, model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On a CPU; unless a size was asked for."""
    caplog.set_level(logging.INFO, "promptmill")
    run(TransformersEngine(model, tokenizer, greedy(1), batch_size=asked, way=way), requests(prompts(1)))
    assert f"{way}: up to {rows} rows" in caplog.text


def test_samples_of_one_prompt_share_its_prefill(model: Any, tokenizer: Any) -> None:
    """Eight samples of a prompt compute it once, even where they don't all fit in at the same time."""
    text = "a prompt that has quite a few tokens"
    engine = TransformersEngine(model, tokenizer, SamplingParameters(max_new_tokens=6, temperature=1), batch_size=3)
    alone = [run(engine, [request])[0] for request in requests([text] * 8)]
    passes = watch(model)
    assert run(engine, requests([text] * 8)) == alone
    assert sum(ids.numel() for ids in passes.ids if ids.shape[1] > 1) == len(text) - 1


def test_common_prefix_is_computed_once(model: Any, tokenizer: Any) -> None:
    """What all prompts begin with is computed once; the completions are those of each prompt alone."""
    prefix = "You are a helpful assistant. "
    texts = [prefix + text for text in prompts(12, longest=9)]
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=4)
    alone = [run(engine, [request])[0] for request in requests(texts)]
    passes = watch(model)
    assert run(engine, requests(texts)) == alone
    computed = sum(ids.numel() for ids in passes.ids if ids.shape[1] > 1)
    assert computed < len(prefix) + 12 * 10


def test_very_long_prompt_is_computed_in_bounded_passes(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt above the bound of a pass is computed in pieces, sliding windows included, to the same completion."""
    for kind in ("llama", "mistral", "gpt2"):
        model = tiny_model(kind)
        asked = requests(["abcdefgh" * 8, "short"])
        expected = run(TransformersEngine(model, tokenizer, greedy()), asked)
        with monkeypatch.context() as patch:
            patch.setattr("promptmill.engine.prefill.PREFILL_TOKENS", 10)
            passes = watch(model)
            assert run(TransformersEngine(model, tokenizer, greedy(), slots_work=True), asked) == expected
        assert max(ids.numel() for ids in passes.ids) <= 12


def test_cache_keeps_to_its_plan(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows pass through, the cache never holds more positions than it was given."""
    sizes = set()
    place = SlotLayer.place

    def noting(self: SlotLayer, slot: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        place(self, slot, keys, values)
        sizes.add(self.keys.shape[0] * self.keys.shape[2])

    monkeypatch.setattr(SlotLayer, "place", noting)
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=8, positions=512)
    completions = run(engine, requests(["a" * 60, *prompts(60)]))
    assert len(completions) == 61
    assert max(sizes) <= 512


def test_few_positions_mean_few_long_rows_and_many_short_ones() -> None:
    """Batches are bounded by positions, so a long row makes the batch small."""
    policy = Policy(slots=32, positions=4096)
    assert [policy.slots_for(reserve) for reserve in (60, 900, 5000)] == [32, 4, 1]


def test_limit_creeps_up_again_after_memory_ran_out() -> None:
    """After many passes without trouble the batch grows, up to what it was."""
    policy = Policy(slots=32, positions=10**6)
    policy.out_of_memory(32)
    assert policy.limit == 16
    for _ in range(256 * 10):
        policy.pass_worked()
    assert policy.limit == 32
