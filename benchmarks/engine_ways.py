"""The ways that are compared: each takes requests and returns how many tokens it generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from promptmill.engine.contract import Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.sampling import SamplingParameters

Way = Callable[[Sequence[Request]], int | tuple[int, float]]
"""Returns the tokens; a way in another process also its seconds of processor time."""


@dataclass(frozen=True)
class Ways:
    """A model, and how many tokens a completion may have."""

    model: Any
    tokenizer: Any
    most: int

    def named(self) -> dict[str, Way]:
        """All ways, slowest first."""
        return {
            "one at a time": lambda asked: self.generate(asked, 1),
            "pipeline, 8": lambda asked: self.pipeline(asked, 8),
            **{f"generate, file order, {size}": self._static(size) for size in (16, 32)},
            **{f"generate, sorted, {size}": self._static(size, ordered=True) for size in (16, 32, 64)},
            "generate_batch, 32": lambda asked: self.continuous(asked, 32),
            "promptmill, batches, 32": self._ours("batches", 32),
            **{f"promptmill, slots, {size}": self._ours("slots", size) for size in (16, 32, 64, 128)},
        }

    def _static(self, size: int, *, ordered: bool = False) -> Way:
        return lambda asked: self.generate(sorted(asked, key=self._length) if ordered else asked, size)

    def _ours(self, way: Any, size: int) -> Way:
        return lambda asked: self.engine(asked, way, size)

    def generate(self, asked: Sequence[Request], size: int) -> int:
        """`model.generate` on static batches, padded on the left."""
        tokens = 0
        for start in range(0, len(asked), size):
            texts = [self._text(request) for request in asked[start : start + size]]
            inputs = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            output = self.model.generate(**inputs, max_new_tokens=self.most, do_sample=False)
            tokens += self._count(output[:, inputs["input_ids"].shape[1] :])
        return tokens

    def pipeline(self, asked: Sequence[Request], size: int) -> int:
        """The text-generation pipeline, as its documentation shows it."""
        from transformers import pipeline

        pipe = pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)
        texts = [self._text(request) for request in asked]
        settings = {"max_new_tokens": self.most, "do_sample": False, "return_full_text": False, "max_length": None}
        answers = pipe(texts, batch_size=size, **settings)
        lengths = (len(self.tokenizer(answer[0]["generated_text"])["input_ids"]) for answer in answers)
        return sum(min(self.most, length + 1) for length in lengths)

    def continuous(self, asked: Sequence[Request], size: int) -> int:
        """The continuous batching of transformers."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        settings = GenerationConfig(
            max_new_tokens=self.most,
            do_sample=False,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        inputs = [self.token_ids(request) for request in asked]
        answers = self.model.generate_batch(
            inputs=inputs,
            generation_config=settings,
            continuous_batching_config=ContinuousBatchingConfig(max_batch_tokens=max(512, size)),
        )
        return sum(len(answer.generated_tokens) for answer in answers.values())

    def engine(self, asked: Sequence[Request], way: Any, size: int) -> int:
        """Our own engine."""
        sampling = SamplingParameters(max_new_tokens=self.most, temperature=0, top_p=1)
        engine = TransformersEngine(self.model, self.tokenizer, sampling, batch_size=size, way=way)
        return sum(completion.completion_tokens for completion in engine.generate(asked, lambda: False))

    def token_ids(self, request: Request) -> list[int]:
        """A prompt as the model gets it."""
        ids: list[int] = self.tokenizer(self._text(request), add_special_tokens=False)["input_ids"]
        return ids

    def _text(self, request: Request) -> str:
        messages = list(request.messages or ())
        return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def _length(self, request: Request) -> int:
        return len(self._text(request))

    def _count(self, output: torch.Tensor) -> int:
        """Tokens up to and with the first EOS of each row."""
        ended = (output == self.tokenizer.eos_token_id).long()
        return int((ended.cumsum(-1) - ended == 0).sum())
