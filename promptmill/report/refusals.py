"""Responses that look like refusals, by how they begin."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# Where the models at hand begin when they refuse in English; other languages are not looked for.
PHRASES = (
    r"i(?:'|’)?m (?:really |very |so )?sorry,? (?:but|i )",
    r"i am (?:really |very |so )?sorry,? (?:but|i )",
    r"(?:i apologi[sz]e|my apologies|sorry),? but",
    r"as an ai\b",
    r"as a (?:large )?language model",
    r"i(?:'|’)m (?:just |only )?an ai\b",
    r"i (?:cannot|can(?:'|’)t|can not|won(?:'|’)t|will not|am unable to|am not able to)"
    r" (?:assist|help|provide|fulfil|comply|create|generate|write|answer|do that|engage|discuss|support)",
    r"i(?:'|’)m (?:unable|not able|not allowed) to",
)
_BEGINNING = 200
_PATTERN = rf"^[\s\W]*(?:\w+[,!.] )?(?:{'|'.join(PHRASES)})"


def look_like_refusals(texts: pa.Array) -> pa.Array:
    """Whether each text begins with one of `PHRASES`."""
    return pc.match_substring_regex(pc.utf8_slice_codeunits(texts, 0, _BEGINNING), _PATTERN, ignore_case=True)
