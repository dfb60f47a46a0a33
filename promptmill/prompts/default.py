"""The prompts that come with promptmill, for a first run without a file of one's own."""

from __future__ import annotations

from pathlib import Path


def default_prompts_path() -> Path:
    """The file of default prompts: JSON lines with the columns `prompt` and `category`."""
    return Path(__file__).with_name("default.jsonl")
