"""What `datasets` notes of a column besides its Arrow type: names of classes, images, audio; so that it lives on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

KEY = b"huggingface"
_SAID_BY_ARROW = ("Value", "Sequence", "List", "LargeList")


def features_of(schema: pa.Schema | None) -> dict[str, Any]:
    """The features of a source's columns that their Arrow types do not tell, as JSON has them."""
    try:
        noted = json.loads((schema.metadata or {})[KEY])["info"]["features"] if schema is not None else {}
        return {name: feature for name, feature in noted.items() if _is_more_than_arrow(feature)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def metadata_of(features: Mapping[str, Any]) -> dict[bytes, bytes] | None:
    """How a Parquet file notes these features; None for none."""
    return {KEY: json.dumps({"info": {"features": dict(features)}}).encode()} if features else None


def _is_more_than_arrow(feature: Any) -> bool:
    if isinstance(feature, list):
        return any(map(_is_more_than_arrow, feature))
    if not isinstance(feature, dict):
        return False
    kind = feature.get("_type")
    if isinstance(kind, str) and kind not in _SAID_BY_ARROW:
        return True
    return any(map(_is_more_than_arrow, feature.values()))
