"""Texts in prompts that a tokenizer reads as control tokens: `<|im_end|>` in a prompt ends its turn.

They come from data that was scraped, or from somebody who wants the model to do something else. A prompt that is
written in the model's own chat form already is wrapped in it twice.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.rendering.special import special_tokens
from promptmill.rendering.trial import ChatTrial

logger = logging.getLogger(__name__)
_SHOWN = 5


def say_control_tokens(table: Path, tokenizer: Any, trial: ChatTrial | None, *, split: bool) -> None:
    """Say once, with counts, which prompts have such texts, and what reads them otherwise.

    Args:
        table: the prepared prompts.
        trial: of the chat template; None where prompts go to the model as they are.
        split: whether they are read as text.
    """
    names = control_tokens(tokenizer)
    if not names:
        return
    found: Counter[str] = Counter()
    prompts = again = 0
    pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    opens = None if trial is None else trial.opens_user()
    for texts in _texts(table):
        tokens = {token for text in texts for token in pattern.findall(text)}
        found.update(tokens)
        prompts += bool(tokens)
        again += bool(opens) and any(str(opens) in text for text in texts)
    if not prompts:
        return
    shown = ", ".join(name for name, _ in found.most_common(_SHOWN))
    count = "1 prompt contains" if prompts == 1 else f"{prompts} prompts contain"
    if split:
        logger.info("%s %s, read as text.", count, shown)
        return
    logger.warning(
        "%s %s, which the model reads as control tokens; --split-special-tokens reads them as text.", count, shown
    )
    if again:
        logger.warning(
            "%d of them are written in the model's own chat form already, and are wrapped in it a second time; "
            "--chat-template none takes prompts as they are.",
            again,
        )


def control_tokens(tokenizer: Any) -> frozenset[str]:
    """The texts that a tokenizer reads as one special token wherever they stand."""
    return frozenset(text for text in special_tokens(tokenizer).values() if text.strip())


def _texts(table: Path) -> Iterable[list[str]]:
    """The texts of each prompt: itself, or its messages."""
    with pq.ParquetFile(table) as parquet:
        name = parquet.schema_arrow.names[1]
        for batch in parquet.iter_batches(columns=[name], use_threads=False):
            column = batch.column(0)
            if pa.types.is_string(column.type):
                yield from ([text] for text in column.to_pylist())
            else:
                yield from ([str(message["content"]) for message in messages] for messages in column.to_pylist())
