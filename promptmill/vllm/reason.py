"""What vLLM says of a failure, in a length that a message takes."""

from __future__ import annotations

import textwrap

_LONGEST = 1000


def said_by(error: BaseException) -> str:
    """The text of the error behind the others, which vLLM wraps in sentences that say nothing; words stay whole."""
    while error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(str(error), _LONGEST, placeholder=" ...") or type(error).__name__
