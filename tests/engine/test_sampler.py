"""The distribution, and the random stream, that tokens are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from promptmill.engine.contract import Request
from promptmill.engine.noise import gumbel_noise
from promptmill.engine.rows import Row
from promptmill.engine.sampler import CANDIDATES, Sampler
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from promptmill.sampling import SamplingParameters
from tests.engine.tiny import prompts, requests, run

DRAWS = 4000


def _processors(parameters: SamplingParameters) -> LogitsProcessorList:
    """What `model.generate` would make of the parameters, in its order."""
    chain: list[Any] = [TemperatureLogitsWarper(parameters.temperature)]
    if parameters.repetition_penalty != 1:
        chain.insert(0, RepetitionPenaltyLogitsProcessor(parameters.repetition_penalty))
    if parameters.top_k:
        chain.append(TopKLogitsWarper(parameters.top_k))
    if parameters.top_p < 1:
        chain.append(TopPLogitsWarper(parameters.top_p))
    if parameters.min_p:
        chain.append(MinPLogitsWarper(parameters.min_p))
    return LogitsProcessorList(chain)


def _rows(count: int, prompt: list[int]) -> list[Row]:
    return [Row(Request(place, seed=1000 + place, prompt=""), list(prompt), limit=5) for place in range(count)]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 0.5, "top_p": 1.0},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 1.3, "top_p": 1.0, "top_k": 5},
        {"temperature": 1.0, "top_p": 1.0, "min_p": 0.2},
        {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.7},
        {"temperature": 0.8, "top_p": 0.9, "top_k": 9, "min_p": 0.05, "repetition_penalty": 1.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("vocabulary", [16, 3 * CANDIDATES])
def test_draws_follow_the_distribution_of_transformers(settings: dict[str, Any], vocabulary: int) -> None:
    """Counts of many draws agree with the warpers' probabilities (chi-square), and what they exclude never comes."""
    parameters = SamplingParameters(**settings)
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(3)) * 1.5
    prompt = [1, 4, 4, 9]
    expected = _processors(parameters)(torch.tensor([prompt]), logits[None].clone())[0].softmax(-1).numpy()
    rows = _rows(DRAWS, prompt)
    choice = Sampler(parameters).choose(logits.expand(DRAWS, -1), rows)
    counts = np.bincount(choice.tokens, minlength=vocabulary)
    assert counts[expected == 0].sum() == 0
    likely = expected * DRAWS >= 5
    table = [(count, share * DRAWS) for count, share in zip(counts[likely], expected[likely], strict=True)]
    table.append((counts[~likely].sum(), max(1e-9, expected[~likely].sum() * DRAWS)))
    square = sum((count - mean) ** 2 / mean for count, mean in table)
    freedom = len(table) - 1
    assert square < freedom + 4 * (2 * freedom) ** 0.5 + 4


def test_wide_nucleus_is_drawn_from_the_whole_vocabulary() -> None:
    """A nucleus of more tokens than are looked at first is not cut: a flat distribution reaches all of it."""
    vocabulary = 4 * CANDIDATES
    rows = _rows(DRAWS, [0])
    tokens = Sampler(SamplingParameters(temperature=1, top_p=0.99)).choose(torch.zeros(DRAWS, vocabulary), rows).tokens
    assert len(set(tokens)) > 0.95 * vocabulary


def test_top_k_keeps_tokens_that_are_as_likely_as_the_last() -> None:
    """Ties with the k-th token are kept, as transformers keeps them."""
    logits = torch.full((DRAWS, 2 * CANDIDATES), -9.0)
    logits[:, :6] = 1.0
    tokens = Sampler(SamplingParameters(temperature=1, top_p=1, top_k=3)).choose(logits, _rows(DRAWS, [0])).tokens
    assert set(tokens) == set(range(6))


def test_greedy_takes_the_most_likely_token() -> None:
    """Temperature 0 ignores the seed."""
    logits = torch.randn(8, 50)
    choice = Sampler(SamplingParameters(temperature=0)).choose(logits, _rows(8, [0]))
    assert choice.tokens == logits.argmax(-1).tolist()


def test_rows_whose_logits_are_not_numbers_are_told() -> None:
    """NaN, infinity and nothing at all are unsound; a token that is excluded is not."""
    logits = torch.zeros(5, 2 * CANDIDATES)
    logits[0, 3], logits[1, 3], logits[2, :], logits[3, 3] = torch.nan, torch.inf, -torch.inf, -torch.inf
    for parameters in (SamplingParameters(temperature=0), SamplingParameters(), SamplingParameters(top_p=1)):
        assert Sampler(parameters).choose(logits, _rows(5, [0])).sound == [False, False, False, True, True]


def test_noise_is_gumbel_and_differs_by_seed_step_and_token() -> None:
    """Means, deviations and correlations of neighbouring seeds, steps and tokens are those of independent numbers."""
    count = 20000
    one = torch.zeros(1, dtype=torch.int64)
    by_seed = gumbel_noise(range(count), [0] * count, one)[:, 0].numpy()
    by_step = gumbel_noise([5] * count, range(count), one)[:, 0].numpy()
    by_token = gumbel_noise([5], [3], torch.arange(count))[0].numpy()
    for numbers in (by_seed, by_step, by_token):
        assert abs(numbers.mean() - np.euler_gamma) < 0.04
        assert abs(numbers.std() - np.pi / 6**0.5) < 0.04
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03
        assert np.isfinite(numbers).all()
        assert len(np.unique(numbers)) == count


def test_noise_does_not_depend_on_which_tokens_are_looked_at() -> None:
    """A token's number is the same among a few candidates and among the whole vocabulary."""
    whole = gumbel_noise([7, 8], [1, 2], torch.arange(100))
    some = torch.tensor([[3, 50], [99, 0]])
    assert torch.equal(gumbel_noise([7, 8], [1, 2], some), whole.gather(1, some))


def test_rounding_seldom_changes_a_draw() -> None:
    """Noise of float32's size on flat logits, the worst case, changes fewer than 1 in 5,000 draws."""
    rows = _rows(12_000, [0])
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(12_000, 260, generator=generator) * 0.4
    disturbed = logits * (1 + 2e-7 * torch.randn(logits.shape, generator=generator))
    sampler = Sampler(SamplingParameters(temperature=0.7, top_p=0.95))
    tokens, again = sampler.choose(logits, rows).tokens, sampler.choose(disturbed, rows).tokens
    assert sum(one != other for one, other in zip(tokens, again, strict=True)) <= 2


@pytest.mark.parametrize("way", ["slots", "batches"])
def test_sampled_rows_do_not_depend_on_the_batch(model: Any, tokenizer: Any, way: Way) -> None:
    """A row's text is the same in any batch size, and when half of the rows are asked for in another order."""
    asked = requests(prompts(12))
    parameters = SamplingParameters(max_new_tokens=10, temperature=1.0, top_p=0.95, repetition_penalty=1.1)
    whole = run(TransformersEngine(model, tokenizer, parameters, batch_size=12, way=way), asked)
    assert run(TransformersEngine(model, tokenizer, parameters, batch_size=1, way=way), asked) == whole
    some = run(TransformersEngine(model, tokenizer, parameters, batch_size=3, way=way), asked[:5:-1])
    assert some == whole[6:]


def test_other_seeds_give_other_texts(model: Any, tokenizer: Any) -> None:
    """The same prompt with another seed is another sample."""
    parameters = SamplingParameters(max_new_tokens=10, temperature=1.0)
    completions = run(TransformersEngine(model, tokenizer, parameters), requests(["hello"] * 6))
    assert len({completion.response for completion in completions}) == 6
