"""What `--prompts` may name, and what is said when it names nothing."""

from __future__ import annotations

import os

import pytest

from promptmill.errors import ConfigurationError, NotFound
from promptmill.prompts import source_digest
from promptmill.prompts.source import FileSource, HubSource, locate


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("org/name", HubSource("org/name", "org/name", None)),
        ("org/name:test", HubSource("org/name:test", "org/name", "test")),
        ("HuggingFaceH4/no_robots.v2", HubSource("HuggingFaceH4/no_robots.v2", "HuggingFaceH4/no_robots.v2", None)),
    ],
)
def test_hub_dataset_is_recognised(source, expected):
    """An id with an owner, and a split after a colon."""
    assert locate(source) == expected


def test_existing_file_wins_over_a_hub_dataset(bench, monkeypatch):
    """What is on the disk is what is meant."""
    bench.write("org/name.txt", "one\n")
    monkeypatch.chdir(bench.folder)
    assert isinstance(locate("org/name.txt"), FileSource)


@pytest.mark.parametrize("source", ["./org/name", "/org/name", "~/org/name", "org/name.jsonl", "org/name.csv.gz"])
def test_missing_path_is_not_looked_for_on_the_hub(source):
    """A leading dot or slash, or a known ending, makes it a path."""
    with pytest.raises(NotFound, match="no file"):
        locate(source)


def test_missing_name_says_what_both_would_look_like(bench, monkeypatch):
    """Neither a file nor an id with an owner; a name that is nearly right is proposed."""
    bench.write("prompts.jsonl", "")
    monkeypatch.chdir(bench.folder)
    with pytest.raises(NotFound, match=r"no file promts .*org/name:split"):
        locate("promts")
    with pytest.raises(NotFound, match=r"Did you mean prompts\.jsonl\?"):
        locate("promts.jsonl")


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b", "~nobody-here/x.txt"])
def test_impossible_path_is_not_found(source):
    """A prompt given in place of a file is an error like any other."""
    with pytest.raises(NotFound):
        locate(source)


def test_standard_input_is_refused_with_the_reason():
    """A run that starts again cannot read it twice."""
    with pytest.raises(ConfigurationError, match="cannot read twice"):
        locate("-")


def test_pipe_is_refused(bench):
    """A named pipe can be read once only."""
    os.mkfifo(bench.folder / "pipe.txt")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        locate(str(bench.folder / "pipe.txt"))


def test_folder_is_refused_with_a_glob_that_would_do(bench):
    """The proposed glob has the ending of the files that are in it."""
    bench.write("some/a.csv", "prompt\nx\n")
    with pytest.raises(ConfigurationError, match=r"folder; .* '.*/some/\*\.csv'"):
        locate(str(bench.folder / "some"))


@pytest.mark.parametrize("name", ["a.md", "a", "a.parquet.gz", "a.gz"])
def test_unknown_ending_lists_the_known_ones(bench, name):
    """The format is known from the ending alone."""
    with pytest.raises(ConfigurationError, match=r"\.txt, \.jsonl"):
        locate(str(bench.write(name, "x")))


def test_glob_reads_its_files_in_sorted_order(bench):
    """Formats may be mixed as long as the prompt's column is the same."""
    bench.write("d/b.csv", "prompt\ntwo\n")
    bench.write("d/a.txt", "one\n")
    bench.write("d/c.jsonl", '"three"\n')
    assert [row["prompt"] for row in bench.rows(f"{bench.folder}/d/*")] == ["one", "two", "three"]
    assert [row["prompt"] for row in bench.rows(f"{bench.folder}/d/*", limit=2)] == ["one", "two"]


def test_glob_without_a_match_is_not_found(bench):
    """The pattern is named, with what to look at."""
    with pytest.raises(NotFound, match="No file matches"):
        locate(f"{bench.folder}/*.jsonl")


def test_file_with_a_pattern_in_its_name_is_that_file(bench):
    """An existing file is no glob."""
    assert bench.rows(bench.write("a[1].txt", "one\n")) == [{"prompt": "one"}]


def test_digest_depends_on_content_alone(bench):
    """A file may be moved and renamed; one other byte makes another digest."""
    first = source_digest(str(bench.write("a.txt", "one\n")))
    assert source_digest(str(bench.write("deep/b.txt", "one\n"))) == first
    assert source_digest(str(bench.write("c.txt", "two\n"))) != first
    assert source_digest("org/name:a") != source_digest("org/name:b")


def test_digest_of_a_glob_depends_on_names_and_not_on_the_folder(bench):
    """Names decide the order of the prompts; where the folder is does not."""
    for name in ("x/a.txt", "y/a.txt", "z/b.txt"):
        bench.write(name, "one\n")
    digests = {folder: source_digest(f"{bench.folder}/{folder}/*.txt") for folder in "xyz"}
    assert digests["x"] == digests["y"] != digests["z"]
