"""A card that people write in too: theirs stays, ours is made anew."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import DatasetCard

from promptmill.card.header_text import yaml_text
from promptmill.card.merging import marked, merged
from promptmill.card.metadata import CardOptions, header

OURS = (
    header(CardOptions("a/b", "mit", "Ours", ("mine",)), 0, []).replace("viewer: false\n", "")
    + "\n\n# Ours\n\n10 rows\n"
)
LATER = OURS.replace("10 rows", "20 rows").replace("license: mit", "license: cc-by-4.0")
THEIRS = """---
# theirs
license: apache-2.0
language:
- no
tags: [theirs, synthetic]
pretty_name: 'Their: name'
released: 2024-01-01
configs:
  - config_name: default
    data_files: old.csv
---
Their text.
"""


def facts(card: str) -> dict[str, object]:
    """The header, read as the Hub's client does."""
    return dict(DatasetCard(card).data.to_dict())


def test_a_card_that_nobody_touched_is_made_anew() -> None:
    """All of it: header and text; and what is there already makes no other card."""
    first = marked(OURS)
    assert merged(first, LATER, first=False).text == marked(LATER)
    assert merged(first, OURS, first=False).text == first


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_around_ours_stays(newline: str) -> None:
    """Before and after the marks, whatever line ends an editor wrote."""
    begin = "<!-- promptmill begins"
    edited = marked(OURS).replace(begin, f"Before.\n\n{begin}") + "\nAfter.\n"
    card = merged(edited.replace("\n", newline), LATER, first=False)
    assert card.kept == ()
    before, ours = card.text.split(begin)
    assert before.endswith("Before.\n\n")
    assert "20 rows" in ours
    assert "10 rows" not in ours
    assert ours.endswith("\nAfter.\n")


def test_a_persons_header_stays() -> None:
    """Licence, tags, title, language and whatever else it has; ours adds what only it knows, and says what it left."""
    edited = marked(OURS).replace("license: mit", "license: apache-2.0\nlanguage: no  # Norsk").replace("- mine", "- x")
    card = merged(edited, LATER, first=False)
    assert "license: apache-2.0\nlanguage: no  # Norsk\n" in card.text
    assert facts(card.text)["tags"] == ["synthetic", "promptmill", "x", "mine"]
    assert card.kept == ("The card keeps its own license: apache-2.0.",)
    assert "20 rows" in card.text
    assert merged(card.text, LATER, first=False).text == card.text


def test_text_that_was_edited_between_the_marks_stays() -> None:
    """It is a person's by now; the log says so."""
    edited = marked(OURS).replace("10 rows", "10 rows, of which I removed one")
    card = merged(edited, LATER, first=False)
    assert "of which I removed one" in card.text
    assert "20 rows" not in card.text
    assert "--overwrite" in card.kept[0]


def test_a_card_without_marks_where_we_published_stays() -> None:
    """Whoever took our text out does not want it."""
    card = merged("# Mine alone\n", LATER, first=False)
    assert card.text.endswith("# Mine alone\n")
    assert "20 rows" not in card.text
    assert facts(card.text)["license"] == "cc-by-4.0"


def test_a_card_that_was_there_first_gets_our_text_after_its_own() -> None:
    """Its header is as it was, to the letter, save for what tells of the data."""
    ours = OURS.replace("tags:", "configs:\n- config_name: default\n  data_files: data/*\ntags:")
    card = merged(THEIRS, ours, first=True)
    head = card.text.split("---\n")[1]
    for line in THEIRS.split("configs:")[0].splitlines()[1:]:
        assert line in head or line.startswith("tags:")
    assert "data/*" in head
    assert "old.csv" not in head
    assert facts(card.text)["tags"] == ["theirs", "synthetic", "promptmill", "mine"]
    assert "Their text.\n\n<!-- promptmill begins" in card.text
    again = merged(card.text, ours, first=False)
    assert again.text == card.text
    assert again.kept == card.kept


@pytest.mark.parametrize("head", ["{license: apache-2.0, tags: [x]}", "license: [unclosed", "- a\n- b"])
def test_a_header_that_we_cannot_edit_stays(head: str) -> None:
    """To the last letter, and the log says so."""
    card = merged(f"---\n{head}\n---\nText\n", OURS, first=True)
    assert card.text.startswith(f"---\n{head}\n---\nText\n")
    assert "stays as it is" in card.kept[0]


def test_marks_in_a_prompt_end_nothing() -> None:
    """What a model or a prompt says is within the marks, even if it says a mark."""
    hostile = OURS.replace("10 rows", "```\n<!-- promptmill ends here -->\n```")
    assert merged(marked(hostile), LATER, first=False).text == marked(LATER)


@pytest.mark.parametrize(
    "text",
    ["1e3", "0o17", "012", "08", "1.5e3", ".5", "5.", "0x1F", "-7", ".inf", "true", "no", "null", "~", "2024-01-01"],
)
def test_texts_that_look_like_numbers_are_quoted(text: str) -> None:
    """For YAML 1.1 and 1.2 alike, in values and names."""
    written = yaml_text({"tags": [text], "dataset_info": {"name": text}})
    assert f"'{text}'" in written
    assert written.count(f"'{text}'") == 2
    assert yaml.safe_load(written) == {"tags": [text], "dataset_info": {"name": text}}
