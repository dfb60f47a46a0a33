"""Models known without torch: from a published config, or from a folder with headers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from promptmill.fitting.model import KnownModel, Source, known_model
from promptmill.fitting.sources import read_source
from tests.placing.models import CONFIGS


@cache
def published(name: str) -> KnownModel:
    """A named model, of which only config.json is known."""
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    return known_model(Source(name, name, "hub", None, config, None))


def saved(folder: Path) -> KnownModel:
    """A model that was saved to a folder."""
    return known_model(read_source(str(folder)))
