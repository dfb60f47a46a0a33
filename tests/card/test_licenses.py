"""Which licences the Hub has identifiers for, and what was probably meant."""

from __future__ import annotations

import pytest

from promptmill.card.licenses import LICENSES, check_license
from promptmill.errors import ConfigurationError
from workflows import BuildDataset


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("cc-by-4", "cc-by-4.0"),
        ("CC-BY-SA 4.0", "cc-by-sa-4.0"),
        ("MIT", "mit"),
        ("Apache 2.0", "apache-2.0"),
        ("apache2", "apache-2.0"),
        ("MIT License", "mit"),
        ("llama-2", "llama2"),
        ("cc0", "cc0-1.0"),
        ("GPLv3", "gpl-3.0"),
    ],
)
def test_the_nearest_licence_is_named(given: str, meant: str) -> None:
    """By letters and figures alone."""
    with pytest.raises(ConfigurationError, match=rf"Did you mean {meant}\?"):
        check_license(given)


def test_what_is_like_no_licence_is_refused_with_a_way_out() -> None:
    """The list, and `other`."""
    with pytest.raises(ConfigurationError, match=r"is none of the Hub's identifiers\. They are listed on .* `other`"):
        check_license("!!!")


def test_the_hubs_identifiers_are_taken() -> None:
    """And none at all."""
    for name in (*LICENSES, None):
        check_license(name)


@pytest.mark.parametrize(
    ("text", "tags"),
    [("a,b", ("a", "b")), ("a", ("a",)), (" a , b,a,", ("a", "b")), ('["a, b", "c"]', ("a, b", "c"))],
)
def test_tags_are_separated_by_commas(text: str, tags: tuple[str, ...]) -> None:
    """Or a JSON list, for one that has a comma in it; what is written down is read back."""
    parameter = BuildDataset.tags
    assert parameter.parse(text) == tags
    assert parameter.parse(parameter.serialize(tags)) == tags
