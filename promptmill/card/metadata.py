"""The YAML header of the card, which the Hub's pages and `datasets` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptmill.card.content import dataset_info
from promptmill.card.header_text import yaml_text

TAGS = ("synthetic", "promptmill")
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"


@dataclass(frozen=True)
class CardOptions:
    """What a user says about a published dataset.

    Attributes:
        repo: where it is published; None on disk.
        license: of the dataset, by the Hub's identifier; the model's own is named apart from it.
        tags: in addition to those that every dataset of promptmill has.
    """

    repo: str | None = None
    license: str | None = None
    pretty_name: str | None = None
    tags: tuple[str, ...] = ()


def header(options: CardOptions, rows: int, files: Sequence[Path]) -> str:
    """The header of a card that can be shown in the Hub's viewer; without files, of one that cannot."""
    metadata: dict[str, Any] = {"license": options.license, "pretty_name": options.pretty_name}
    metadata = {name: value for name, value in metadata.items() if value is not None}
    if files:
        metadata |= {
            "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
            "dataset_info": dataset_info(files),
            "size_categories": [next((name for limit, name in _SIZES if rows < limit), _LARGEST)],
        }
    else:
        metadata["viewer"] = False
    metadata |= {"task_categories": ["text-generation"], "tags": list(dict.fromkeys((*TAGS, *options.tags)))}
    known = {name: value for name, value in metadata.items() if value is not None}
    return f"---\n{yaml_text(known)}---\n"
