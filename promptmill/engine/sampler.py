"""Chooses each row's next token, with a random stream of the row's own.

The filters are those of transformers, in its order: repetition penalty, temperature, top-k, top-p,
min-p. What they leave is drawn from by the Gumbel-max trick: the token wins whose log-probability plus
hashed noise is the largest. Compared with laying the probabilities end to end and looking where a number
falls (inverse CDF), rounding in another batch moves no edges: it changes the draw only where the two
largest sums agree to some seven digits, which is one to two orders of magnitude rarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from promptmill.engine.constraints import Constraints
from promptmill.engine.noise import gumbel_noise
from promptmill.engine.rows import Row
from promptmill.sampling import SamplingParameters

CANDIDATES = 128
"""Tokens looked at first: a nucleus is seldom larger, and finding them is far cheaper than a sort."""


@dataclass(frozen=True)
class Choice:
    """One token a row, and whether its logits were numbers at all."""

    tokens: list[int]
    sound: list[bool]


class Sampler:
    """Draws from the distribution that the sampling parameters leave of the logits."""

    def __init__(self, parameters: SamplingParameters, constraints: Constraints | None = None) -> None:
        """`constraints` forbid or force tokens; None for none."""
        self._parameters = parameters
        self._constraints = constraints if constraints is not None and constraints.any else None
        self._filtered = bool(parameters.top_k or parameters.min_p or parameters.top_p < 1)

    def choose(self, logits: Tensor, rows: Sequence[Row]) -> Choice:
        """The next token of each row, from logits of shape [rows, vocabulary]."""
        scores = logits.float()
        if self._constraints is not None:
            scores = self._constraints.biased(scores, rows)
        if self._parameters.repetition_penalty != 1:
            scores = self._penalise(scores, rows)
        if self._constraints is not None:
            scores = self._constraints.applied(scores, rows)
        tokens = scores.argmax(-1)
        best = scores.gather(-1, tokens[:, None])
        if not self._parameters.greedy:
            tokens = self._draw(scores, best, rows)
        chosen, sound = torch.stack([tokens, best[:, 0].isfinite().long()]).tolist()
        return Choice(chosen, [bool(item) for item in sound])

    def _draw(self, scores: Tensor, best: Tensor, rows: Sequence[Row]) -> Tensor:
        if not self._filtered:
            return self._draw_among_all(scores, best, rows)
        most = min(max(CANDIDATES, self._parameters.top_k + 1), scores.shape[-1])
        tokens, whole = self._draw_among(scores, best, rows, most)
        if not bool(whole.all()):
            rest = (~whole).nonzero()[:, 0]
            some = [rows[index] for index in rest.tolist()]
            tokens[rest] = self._draw_among(scores[rest], best[rest], some, scores.shape[-1])[0]
        return tokens

    def _draw_among(self, scores: Tensor, best: Tensor, rows: Sequence[Row], most: int) -> tuple[Tensor, Tensor]:
        """Draw among the `most` likely tokens; also tell which rows' filters keep none beyond them."""
        values, ids = scores.topk(most, dim=-1)
        likelihoods = (values - best) / self._parameters.temperature
        keep = self._kept(scores, best, values, likelihoods.exp())
        places = _winners(likelihoods.masked_fill(~keep, -torch.inf), ids, rows)
        tokens = ids.gather(-1, places[:, None])[:, 0]
        whole = ~keep[:, -1] | bool(most == scores.shape[-1]) | ~best[:, 0].isfinite()
        return tokens, whole

    def _draw_among_all(self, scores: Tensor, best: Tensor, rows: Sequence[Row]) -> Tensor:
        """Draw without filters: the likely tokens and all others as one; among those only where they win.

        The sum of weights wins as often as any of its tokens would, so the distribution is exact,
        and noise for a whole vocabulary is seldom needed.
        """
        values, ids = scores.topk(min(CANDIDATES, scores.shape[-1]), dim=-1)
        likelihoods = (values - best) / self._parameters.temperature
        others = (self._total(scores, best) - likelihoods.exp().sum(-1, keepdim=True)).clamp(min=0).log()
        group = torch.full_like(ids[:, :1], scores.shape[-1])
        places = _winners(torch.cat([likelihoods, others], -1), torch.cat([ids, group], -1), rows)
        tokens = torch.cat([ids, group], -1).gather(-1, places[:, None])[:, 0]
        rest = (tokens == scores.shape[-1]).nonzero()[:, 0]
        if len(rest):
            unlikely = (scores[rest] / self._parameters.temperature).scatter(-1, ids[rest], -torch.inf)
            everything = torch.arange(scores.shape[-1], device=scores.device)
            tokens[rest] = _winners(unlikely, everything, [rows[index] for index in rest.tolist()])
        return tokens

    def _kept(self, scores: Tensor, best: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        """Which of the candidates (most likely first, the best with weight 1) the filters keep."""
        top_k, top_p, min_p = self._parameters.top_k, self._parameters.top_p, self._parameters.min_p
        keep = torch.ones_like(weights, dtype=torch.bool)
        if top_k:
            keep &= values >= values[:, min(top_k, values.shape[-1]) - 1, None]
        if top_p < 1:
            likely = torch.where(keep, weights, 0.0)
            total = likely.sum(-1, keepdim=True) if top_k else self._total(scores, best)
            keep &= likely.cumsum(-1) - likely < top_p * total
        if min_p:
            keep &= weights >= min_p
        return keep

    def _total(self, scores: Tensor, best: Tensor) -> Tensor:
        return ((scores - best) / self._parameters.temperature).exp_().sum(-1, keepdim=True)

    def _penalise(self, scores: Tensor, rows: Sequence[Row]) -> Tensor:
        """Make what a row's prompt or completion has already less likely (CTRL, Keskar et al. 2019)."""
        penalty = self._parameters.repetition_penalty
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row.tokens) for row in rows], batch_first=True, padding_value=scores.shape[-1]
        ).to(scores.device)
        seen = torch.zeros(len(rows), scores.shape[-1] + 1, dtype=torch.bool, device=scores.device)
        seen.scatter_(1, ids, True)
        return torch.where(seen[:, :-1], torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def _winners(likelihoods: Tensor, tokens: Tensor, rows: Sequence[Row]) -> Tensor:
    """The places that win the draw, from unnormalised log-probabilities [rows, tokens] of these tokens."""
    seeds = [row.request.seed for row in rows]
    noise = gumbel_noise(seeds, [len(row.generated) for row in rows], tokens)
    return noise.add_(likelihoods).argmax(-1)
