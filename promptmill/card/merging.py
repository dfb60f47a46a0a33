"""A card on the Hub that people write in too: our text stands between two marks, theirs around it and stays.

The first mark has digests of our text and our header, so that a person's change in them is seen. What
was changed is theirs from then on.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from promptmill.card.header_text import texts_of, yaml_text

_BEGIN = re.compile(r"<!-- promptmill begins here \((\w+) (\w+)\);[^\n]*-->\n")
_END = "<!-- promptmill ends here -->"
_HEADER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_THEIRS = "theirs"
_OF_THE_DATA = ("configs", "dataset_info", "size_categories")
_OF_PEOPLE = ("license", "pretty_name")


@dataclass(frozen=True)
class MergedCard:
    """The card that a repository is to have.

    Attributes:
        kept: what of people stays in the place of ours, a sentence each.
    """

    text: str
    kept: tuple[str, ...] = ()


def marked(card: str) -> str:
    """A card that is all ours, with the marks that let people write around our text."""
    header, body = _split(card)
    return _joined(header, header, "", body, "\n")


def merged(theirs: str, card: str, *, first: bool) -> MergedCard:
    """Our card in a repository that has one already.

    Args:
        theirs: the card that is there.
        first: whether promptmill never published there, so that all of it is a person's.
    """
    there = theirs.replace("\r\n", "\n")
    their_header, their_body = _split(there)
    header, body = _split(card)
    begin, end = _BEGIN.search(their_body), their_body.rfind(_END)
    if begin is None or end < begin.end():
        if not first:
            return _left(theirs, "does not have promptmill's marks, so all of it stays as it is", header)
        joined, kept = _headers(their_header, header)
        return MergedCard(
            _joined(joined, None if their_header else joined, f"{their_body.strip()}\n\n", body, "\n"), kept
        )
    if _digest(their_body[begin.end() : end]) != begin[2]:
        return _left(theirs, "was edited between promptmill's marks, so that its text stays as it is", header)
    before, after = their_body[: begin.start()], their_body[end + len(_END) :]
    if their_header is None or begin[1] == _digest(their_header):
        return MergedCard(_joined(header, header, before, body, after))
    joined, kept = _headers(their_header, header)
    return MergedCard(_joined(joined, None, before, body, after), kept)


def _left(theirs: str, why: str, header: str | None) -> MergedCard:
    """Their card with our header's facts about the data in it."""
    their_header, their_body = _split(theirs.replace("\r\n", "\n"))
    joined, kept = _headers(their_header, header)
    text = theirs if joined == their_header else f"---\n{joined}---\n{their_body}"
    return MergedCard(text, (f"The card {why}; --overwrite replaces it.", *kept))


def _split(card: str) -> tuple[str, str] | tuple[None, str]:
    found = _HEADER.match(card)
    return (found[1], card[found.end() :]) if found else (None, card)


def _joined(header: str | None, ours: str | None, before: str, body: str, after: str) -> str:
    """A card of these parts; `ours` is the header if nobody else had a hand in it."""
    text = body.strip("\n")
    whose = _THEIRS if ours is None else _digest(ours)
    begin = (
        f"<!-- promptmill begins here ({whose} {_digest(text)}); it writes this part anew. Write before it, or after "
        "its end: that stays. -->"
    )
    return f"---\n{header or ''}---\n{before}{begin}\n{text}\n{_END}{after}"


def _digest(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _headers(theirs: str | None, ours: str | None) -> tuple[str, tuple[str, ...]]:
    """Their header with what only we know, and what of theirs stays though we would say otherwise."""
    if theirs is None or not theirs.strip():
        return ours or "", ()
    said, told = texts_of(theirs), texts_of(ours or "") or {}
    if said is None:
        return theirs, ("The card's header cannot be read as YAML, and stays as it is.",)
    parts, new = _parts(theirs), _parts(ours or "")
    own_configs = any(
        isinstance(one, dict) and one.get("config_name") != "default" for one in said.get("configs") or ()
    )
    for name, text in new.items():
        if name == "tags":
            parts |= _tags(said.get("tags"), told["tags"])
        elif name in _OF_THE_DATA and not (own_configs and name != "size_categories"):
            parts[name] = text
        elif name != "viewer":
            parts.setdefault(name, text)
    joined = "".join(parts.values())
    if not _same_but_ours(said, texts_of(joined)):
        return theirs, ("The card's header is not one key a line, and stays as it is.",)
    kept = (name for name in _OF_PEOPLE if name in said and name in told and said[name] != told[name])
    return joined, tuple(f"The card keeps its own {name}: {said[name]}." for name in kept)


def _parts(header: str) -> dict[str, str]:
    """The header's text by its top-level keys; comments belong to the key before them."""
    parts: dict[str, str] = {}
    name = ""
    for line in header.splitlines(keepends=True):
        found = re.match(r"([^\s#'\"\-\[{][^:#]*|'[^']*'|\"[^\"]*\")\s*:(?=\s|$)", line)
        name = found[1].strip("'\" ") if found else name
        parts[name] = parts.get(name, "") + line
    return parts


def _tags(theirs: object, ours: list[str]) -> dict[str, str]:
    has = [theirs] if isinstance(theirs, str) and theirs else theirs if isinstance(theirs, list) else []
    missing = [tag for tag in ours if tag not in has]
    return {"tags": yaml_text({"tags": [*has, *missing]})} if missing else {}


def _same_but_ours(before: dict[str, object], after: dict[str, object] | None) -> bool:
    ours = (*_OF_THE_DATA, "tags")
    return after is not None and all(after.get(name) == value for name, value in before.items() if name not in ours)
