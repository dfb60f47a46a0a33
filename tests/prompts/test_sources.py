"""What `--prompts` may name, and what is said when it names nothing."""

from __future__ import annotations

import gzip
import os
import shlex

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill.errors import ConfigurationError, InvalidRows, NotFound
from promptmill.prompts import source_digest
from promptmill.prompts.source import FileSource, HubSource, locate


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("org/name", HubSource("org/name", "org/name", None)),
        ("org/name:test", HubSource("org/name:test", "org/name", "test")),
        ("org/name:main:test", HubSource("org/name:main:test", "org/name", "test", "main")),
        ("org/name@v1.0:test", HubSource("org/name@v1.0:test", "org/name", "test", None, "v1.0")),
        (
            "org/name@refs/convert/parquet",
            HubSource("org/name@refs/convert/parquet", "org/name", None, None, "refs/convert/parquet"),
        ),
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
    with pytest.raises(NotFound, match=r"the Hub's old squad, it has an owner now: .*search=squad$"):
        locate("squad:train")
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


def test_folder_of_one_format_is_read(bench):
    """At any depth, without what begins with `_` or `.`, and without what is no data."""
    for name in ("b.csv", "deep/a.csv", "_tmp/c.csv", ".hidden.csv"):
        bench.write(f"some/{name}", f"prompt\n{name}\n")
    bench.write("some/README.md", "x")
    source = str(bench.folder / "some")
    assert [row["prompt"] for row in bench.rows(source)] == ["b.csv", "deep/a.csv"]
    assert source_digest(source) == source_digest(f"{source}/**/[ab].csv")


def test_folder_of_several_formats_is_refused_with_globs_that_work(bench):
    """Also where the folder's name has brackets and spaces in it."""
    for name, content in (("a.csv", "prompt\none\n"), ("deep/b.csv.gz", "prompt\ntwo\n"), ("c.txt", "three\n")):
        bench.write(f"my [1] folder/{name}", content)
    with pytest.raises(ConfigurationError, match="several formats, csv, txt") as caught:
        locate(str(bench.folder / "my [1] folder"))
    typed = shlex.split(str(caught.value).split("you mean: ")[1].replace(" or --prompts", ""))[1:]
    assert [[row["prompt"] for row in bench.rows(glob)] for glob in typed] == [["one", "two"], ["three"]]


def test_empty_folder_is_not_found(bench):
    """What would be read is said."""
    (bench.folder / "some").mkdir()
    with pytest.raises(NotFound, match=r"folder without a file that is read.*\.txt"):
        locate(str(bench.folder / "some"))


def test_folder_that_datasets_saved_is_read(bench):
    """One split, `train` of several, or the one that is named."""
    rows = datasets.Dataset.from_dict({"prompt": [f"p{n}" for n in range(2500)], "n": range(2500)})
    rows.save_to_disk(bench.folder / "one", num_shards=2)
    parts = datasets.DatasetDict({"test": rows.select([3]), "train": rows.select([1, 2])})
    parts.save_to_disk(bench.folder / "all")
    assert [row["n"] for row in bench.rows(bench.folder / "one")] == list(range(2500))
    assert [row["n"] for row in bench.rows(bench.folder / "one", limit=1100)] == list(range(1100))
    assert [row["n"] for row in bench.rows(bench.folder / "all")] == [1, 2]
    assert [row["n"] for row in bench.rows(bench.folder / "all" / "test")] == [3]
    datasets.DatasetDict({"a": rows, "b": rows}).save_to_disk(bench.folder / "ab")
    with pytest.raises(ConfigurationError, match=r"splits a, b\. Name one: --prompts .*/ab/a or --prompts .*/ab/b"):
        locate(str(bench.folder / "ab"))


def test_glob_passes_over_what_begins_with_an_underscore(bench):
    """Spark's marks and tables' own files are no prompts; the digest is what it was when they were read."""
    bench.write("d/a.jsonl", '"one"\n')
    everything = source_digest(str(bench.write("d/_b.jsonl", '"two"\n').with_name("*.jsonl")))
    bench.write("d/_SUCCESS", "")
    assert bench.rows(f"{bench.folder}/d/*") == [{"prompt": "one"}]
    assert source_digest(f"{bench.folder}/d/*.jsonl") == everything
    assert bench.rows(f"{bench.folder}/d/_*.jsonl") == [{"prompt": "two"}]


def test_folders_of_values_become_columns(bench):
    """As Arrow, Spark and pandas write partitions; a column of the file's own stays."""
    table = pa.table({"prompt": ["hallo", "salut", "hi"], "lang": ["de", "fr/ch", None], "n": [1, 2, 3]})
    pq.write_to_dataset(table, bench.folder / "user=me" / "hive", partition_cols=["lang", "n"])
    rows = bench.rows(f"{bench.folder}/user=me/hive/**/*.parquet")
    assert sorted(rows, key=lambda row: row["n"]) == [
        {"prompt": "hallo", "lang": "de", "n": "1"},
        {"prompt": "salut", "lang": "fr/ch", "n": "2"},
        {"prompt": "hi", "lang": None, "n": "3"},
    ]
    bench.write("lang=de/a.jsonl", '{"prompt": "x", "lang": "own"}\n"y"\n')
    assert [row["lang"] for row in bench.rows(bench.folder / "lang=de" / "a.jsonl")] == ["own", "de"]


def test_column_says_which_file_a_row_came_from(bench):
    """By its name below the folder of all, so that nothing of this machine gets into the dataset."""
    bench.write("g/a.txt", "one\n")
    bench.write("g/deep/b.csv", "prompt\ntwo\n")
    pq.write_table(pa.table({"prompt": ["three"]}), bench.folder / "g/c.parquet")
    rows = bench.rows(f"{bench.folder}/g/**/*.*", file_column="file")
    assert [(row["prompt"], row["file"]) for row in rows] == [
        ("one", "a.txt"),
        ("three", "c.parquet"),
        ("two", "deep/b.csv"),
    ]
    with pytest.raises(InvalidRows, match=r"line 1: has a column prompt itself; give --file-column a name"):
        bench.prepare(f"{bench.folder}/g/*.txt", file_column="prompt")


def test_text_file_as_one_prompt(bench, caplog):
    """The whole file without its last line end; without the option the log says how many lines became prompts."""
    caplog.set_level("INFO")
    bench.write("t/a.txt", "Write a poem\r\n\nabout the sea.\n")
    bench.write("t/b.txt", "Hi")
    source = f"{bench.folder}/t/*.txt"
    rows = bench.rows(source, prompt_per_file=True)
    assert [row["prompt"] for row in rows] == ["Write a poem\r\n\nabout the sea.", "Hi"]
    assert "--prompt-per-file" not in caplog.text
    assert bench.prepare(source).rows == 3
    assert "2 files, 3 lines, a prompt each; --prompt-per-file makes" in caplog.text
    with pytest.raises(InvalidRows, match="line 1, column prompt: is empty"):
        bench.prepare(bench.write("t/c.txt", "\n"), prompt_per_file=True)
    with pytest.raises(ConfigurationError, match=r"--prompt-per-file is for \.txt files"):
        bench.prepare(bench.write("t/d.jsonl", '"x"'), prompt_per_file=True)


def test_files_and_prompts_that_come_twice_are_counted(bench, caplog):
    """A copy, a link and a compressed one in the same folder."""
    caplog.set_level("INFO")
    bench.write("g/a.txt", "one\n")
    bench.write("g/a.txt.gz", gzip.compress(b"one\n"))
    bench.write("g/b.jsonl", '"two"\n')
    (bench.folder / "g/latest.txt").symlink_to("a.txt")
    bench.prepare(f"{bench.folder}/g/*[!t]")
    bench.prepare(f"{bench.folder}/g/*")
    assert "2 files match" in caplog.text
    assert "--prompt-per-file" not in caplog.text
    assert caplog.text.count("come a second time or more") == 1
    assert "2 of 4 prompts come a second time or more; 2 are different" in caplog.text


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


def test_files_whose_classes_have_other_names_are_refused(bench):
    """The same number would mean another class."""
    for name, classes in (("a", ["x", "y"]), ("b", ["y", "x"])):
        features = datasets.Features({"prompt": datasets.Value("string"), "label": datasets.ClassLabel(names=classes)})
        rows = datasets.Dataset.from_dict({"prompt": ["p"], "label": [1]}, features=features)
        rows.to_parquet(bench.folder / f"{name}.parquet")
    with pytest.raises(InvalidRows, match=r"b\.parquet, row 1, column label: is another feature of datasets"):
        bench.prepare(f"{bench.folder}/*.parquet")
