"""Publishing to a repository whose card people write in."""

from __future__ import annotations

import pytest

from promptmill.card.merging import marked
from promptmill.hub.commits import Publication
from promptmill.hub.marker import MARKER, marker_content
from promptmill.hub.publish import Target, publish
from tests.hub import HubServer
from tests.hub_stages.operations import FINGERPRINT
from tests.hub_stages.processes import Client

REPO = "alice/data"
CARD = "---\nlicense: mit\n---\n# Ours, {} rows\n"


def publish_card(rows: int, *, overwrite: bool = False) -> int:
    """Publish a dataset without data, of which the card is all that is of interest; how many commits it took."""
    interim = b"---\nviewer: false\n---\n# Not yet\n"
    wanted = Publication({}, marker_content(FINGERPRINT, {"settings": {}}), CARD.format(rows).encode(), interim)
    return publish(wanted, Target(REPO, FINGERPRINT, overwrite=overwrite), message="promptmill: x").commits


def card_on(hub: HubServer) -> str:
    """The card that the repository has."""
    return hub.files(REPO, kind="dataset")["README.md"].decode()


def test_what_people_write_in_the_card_stays(here: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Around our text, which is made anew; in it, it is theirs from then on, until it is overwritten."""
    hub = here.hub
    assert publish_card(1) == 1
    assert card_on(hub) == marked(CARD.format(1))
    hub.commit(
        REPO, {"README.md": card_on(hub).replace("license: mit", "license: odbl") + "Cite us.\n"}, kind="dataset"
    )
    assert publish_card(2) == 1
    assert "# Ours, 2 rows" in card_on(hub)
    assert "license: odbl" in card_on(hub)
    assert card_on(hub).endswith("Cite us.\n")
    assert "The card keeps its own license: odbl." in caplog.text
    assert publish_card(2) == 0
    hub.commit(REPO, {"README.md": card_on(hub).replace("2 rows", "2 rows, one is bad")}, kind="dataset")
    assert publish_card(3) == 0
    assert "# Ours, 2 rows, one is bad" in card_on(hub)
    assert "edited between promptmill's marks" in caplog.text
    assert publish_card(3, overwrite=True) == 1
    assert card_on(hub) == marked(CARD.format(3))


def test_a_card_that_was_there_before_us_stays(here: Client) -> None:
    """A repository that was made on the Hub's page, with a text and a licence."""
    here.hub.add_dataset(REPO, {"README.md": "---\nlicense: odbl\n---\nMy words.\n"})
    assert publish_card(1) == 1
    assert card_on(here.hub).startswith("---\nlicense: odbl\n---\nMy words.\n\n<!-- promptmill begins")
    assert "# Ours, 1 rows" in card_on(here.hub)


@pytest.mark.parametrize(("title", "stays"), [("promptmill: x", False), ("Update README.md", True)])
def test_a_card_of_an_earlier_version_stays_if_a_person_edited_it(here: Client, title: str, stays: bool) -> None:
    """It has no marks; who wrote it last can be told by the commit."""
    here.hub.add_dataset(REPO, {MARKER: marker_content(FINGERPRINT), "README.md": "# Old\n"})
    here.hub.commit(REPO, {"README.md": "# Ours of then\n"}, kind="dataset", title=title)
    publish_card(1)
    assert ("# Ours of then\n" in card_on(here.hub)) is stays
    assert ("# Ours, 1 rows" in card_on(here.hub)) is not stays
