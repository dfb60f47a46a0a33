"""Text from models and users, so that all of it can be seen and none of it acts."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
# Those that turn the direction of what follows; the marks within Arabic or Persian words are harmless and needed.
_TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_BREAKS = {0x2028: "⏎", 0x2029: "¶"}


def visible(text: str, most: int | None = None) -> str:
    """The text with control characters as pictures, and at most so many characters of it."""
    shown = text if most is None or len(text) <= most else text[:most]
    seen = "".join(map(_visible, shown.replace("\r\n", "\n")))
    return seen if shown is text else f"{seen} … ({len(text) - len(shown):,} more characters)"


def _visible(char: str) -> str:
    if char in _KEPT or char.isprintable():
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code in _BREAKS:
        return _BREAKS[code]
    category = unicodedata.category(char)
    # Surrogates, and code points that are no characters or of which nobody knows what they are.
    if category in ("Cs", "Cn", "Co"):
        return "\ufffd"
    return f"⟨U+{code:04X}⟩" if category == "Cc" or code in _TURNING else char
