"""An engine that may begin nothing more finishes what is under way."""

from __future__ import annotations

from typing import Any

import pytest

from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from tests.engine.tiny import greedy, prompts, requests, run


@pytest.mark.parametrize("way", ["slots", "batches"])
def test_no_row_is_begun_and_those_under_way_are_finished(model: Any, tokenizer: Any, way: Way) -> None:
    """Once it may not begin any more, it yields the rows of the batch under way, as they always are, and ends."""
    asked = requests(prompts(20))
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=4, way=way)
    whole = {completion.position: completion for completion in run(engine, asked)}
    passes: list[int] = []

    def counting() -> bool:
        passes.append(1)
        return False

    some = list(engine.generate(asked, counting, lambda: len(passes) <= 3))
    assert 4 <= len(some) < 12
    assert all(whole[completion.position] == completion for completion in some)
    assert list(engine.generate(asked, lambda: False, lambda: False)) == []
