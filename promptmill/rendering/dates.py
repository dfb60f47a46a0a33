"""The date in a chat template: that of the run's beginning, at every rendering on every node."""

from __future__ import annotations

import json
import re
from datetime import datetime

_CALL = re.compile(r"""strftime_now\(\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\)""")


def asks_for_date(template: str) -> bool:
    """Whether the template calls what transformers gives it to learn the time (`strftime_now`)."""
    return "strftime_now(" in template


def with_date(template: str, moment: str) -> str:
    """The template with its calls for the date answered.

    Args:
        moment: in UTC, as `2026-12-01T09:30:00Z`.

    Raises:
        ValueError: it calls with something else than a text that stands there, so that the answer is not known.
    """
    then = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")
    answered = _CALL.sub(lambda call: json.dumps(then.strftime(call[1] if call[1] is not None else call[2])), template)
    if asks_for_date(answered):
        raise ValueError("it calls strftime_now with a format that it works out")
    return answered
