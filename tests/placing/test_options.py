"""The overrides, as they are typed."""

from __future__ import annotations

import pytest

from promptmill.errors import ConfigurationError
from promptmill.placing.options import PlacementOptions, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GiB", 10 << 30), ("10GB", 10**10), ("500 MiB", 500 << 20), ("1.5gib", 3 << 29), ("1024", 1024)],
)
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    """Powers of two with an i, of ten without."""
    assert parse_size(text) == size


def test_max_memory_holds_for_all_gpus_or_for_each() -> None:
    """A size alone is for every GPU; an object names them."""
    every = PlacementOptions.parsed(max_memory="10GiB")
    assert (every.limit(0), every.limit(5), every.limit("cpu")) == (10 << 30, 10 << 30, None)
    each = PlacementOptions.parsed(max_memory='{"0": "1GiB", "cpu": "2GiB"}')
    assert (each.limit(0), each.limit(1), each.limit("cpu")) == (1 << 30, None, 2 << 30)


@pytest.mark.parametrize(
    ("text", "device_map"),
    [
        ("auto", None),
        ("cpu", (("", "cpu"),)),
        ("cuda:1", (("", 1),)),
        ('{"model": 0, "lm_head": "disk"}', (("model", 0), ("lm_head", "disk"))),
    ],
)
def test_device_maps_are_read(text: str, device_map: object) -> None:
    """`auto` lets promptmill decide; a device takes all; an object names modules."""
    assert PlacementOptions.parsed(device_map=text).device_map == device_map


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_memory": "much"}, "10GiB"),
        ({"max_memory": '{"gpu zero": "1GiB"}'}, "'gpu zero' is no device"),
        ({"max_memory": "{"}, "is no JSON"),
        ({"device_map": "[]"}, "is no device"),
        ({"device_map": "{}"}, "something in it"),
        ({"device_map": "balanced"}, "write the number of a GPU"),
        ({"offload": "tape"}, "none, cpu, disk"),
        ({"gpus_per_copy": 0}, "1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_with_an_example(options: dict[str, object], said: str) -> None:
    """The option, the value and how to write it."""
    with pytest.raises(ConfigurationError, match=said):
        PlacementOptions.parsed(**options)  # type: ignore[arg-type]
