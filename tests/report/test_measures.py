"""What is counted over the rows of a run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from promptmill.plan import recorded_manifest, shard_store
from promptmill.report import counting
from promptmill.report.counting import RowCounter, sampled_indices
from promptmill.report.histogram import MOST_BARS, histogram, quantile
from promptmill.report.refusals import look_like_refusals
from promptmill.report.rows import RowSource
from promptmill.report.sampling import measure_sample
from promptmill.report.values import Counts, Group
from promptmill.report.writing import read_report
from promptmill.rows import Row
from promptmill.run import RunFolder
from tests.report.runs import answered, failed, run_of

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


def counted(run: RunFolder) -> Counts:
    """What the counter finds."""
    manifest = recorded_manifest(run)
    return RowCounter(RowSource(run, manifest), manifest.rows).count()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("chunks", [1, 3])
def test_every_row_is_counted_once(tmp_path: Path, *, whole: bool, chunks: int) -> None:
    """The same from the dataset as from the chunks, however many there are."""
    cut = Row(0, "cut off in the", "length", 5, 256, 0, None)
    rows = [*answered("a b", "a b", "c", " \n ", "a b"), failed("too long: 600"), failed("too long: 71234"), cut]
    counts = counted(run_of(tmp_path, rows, chunks=chunks, whole=whole))
    assert (counts.rows, counts.total, counts.answered, counts.filled) == (8, 8, 6, 5)
    assert counts.reasons == {"stop": 5, "length": 1, "error": 2}
    assert (counts.prompt_tokens, counts.completion_tokens) == (6 * 5 + 2 * 600, 2 + 2 + 1 + 1 + 2 + 256)
    assert counts.errors == (Group("too long: #", 2),)
    assert counts.blank == 1
    assert (counts.copies, counts.copied) == (2, (Group("a b", 3),))
    assert counts.lengths.responses == {"stop": {2: 3, 1: 2}, "length": {256: 1}}
    assert counts.lengths.prompts == {5: 6}


def test_a_row_that_two_processes_made_counts_once(tmp_path: Path) -> None:
    """The first chunk that has it wins, as everywhere."""
    run = run_of(tmp_path, answered("first", "second"), missing=3)
    store = shard_store(run, recorded_manifest(run), 0)
    store.commit([Row(1, "twice", "stop", 5, 1, 0, None), Row(2, "third", "stop", 5, 1, 0, None)])
    source = RowSource(run, recorded_manifest(run))
    texts = [text for batch in source.batches() for text in batch["response"].to_pylist()]
    assert (source.rows, texts) == (3, ["first", "second", "third"])
    shown = [(row.number, row.prompt, row.response) for row in source.sample(range(3))]
    assert shown == [(at, f"Prompt number {at}", text) for at, text in enumerate(texts)]


def test_a_damaged_chunk_is_told_and_left_where_it_is(tmp_path: Path) -> None:
    """A report changes nothing; what can be read is counted."""
    run = run_of(tmp_path, answered(*(f"text {at}" for at in range(20))), chunks=2)
    chunk = sorted((run.shards / "00000").iterdir())[0]
    chunk.write_bytes(b"torn")
    told = read_report(run)
    assert (told.counts.rows, told.unreadable) == (10, (chunk.name,))
    assert chunk.read_bytes() == b"torn"


def test_the_sample_is_of_rows_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And no larger than it may be; all counts are still of every row."""
    monkeypatch.setattr(counting, "SAMPLE_ROWS", 50)
    run = run_of(tmp_path, answered(*(f"text {at}" for at in range(600))), whole=True)
    manifest = recorded_manifest(run)
    counter = RowCounter(RowSource(run, manifest), manifest.rows)
    assert counter.count().rows == 600
    places = [int(text.split()[1]) for text in counter.sample]
    assert places == sorted(sampled_indices(600, 50))
    assert min(places) < 60
    assert max(places) > 540


def test_resembling_responses_are_grouped() -> None:
    """Those that differ in a word of many; a text that stands alone is in no group."""
    texts = [f"{LONG} eighteen nineteen {number}" for number in ("first", "second", "third")]
    found = measure_sample([*texts, "something else altogether, which nobody repeats", "same", "same"])
    assert found.near == 5
    assert found.resembling == (Group(texts[0], 3), Group("same", 2))


def test_a_sample_of_one_text_only_is_one_group() -> None:
    """The index holds the first of each group, so that this costs no more than another sample."""
    found = measure_sample([LONG] * 3000)
    assert (found.near, found.resembling) == (3000, (Group(LONG, 3000),))


def test_openings_and_distinct_words_are_told() -> None:
    """Four words, those that come more than once; n-grams over the whole sample."""
    found = measure_sample(["a b c d e", "a b  c\nd f", "x"])
    assert found.openings == (Group("a b c d", 2),)
    assert found.distinct == (pytest.approx(7 / 11), pytest.approx(5 / 8), pytest.approx(4 / 6))
    assert measure_sample(["…"]).distinct == (None, None, None)


def test_languages_are_told_of_texts_that_are_long_enough() -> None:
    """A word proves nothing."""
    found = measure_sample(
        [
            "The quick brown fox jumps over the lazy dog and then goes home to sleep in the afternoon.",
            "Le renard brun saute par-dessus le chien paresseux et rentre ensuite dormir à la maison.",
            "Oui",
        ]
    )
    assert ({group.text for group in found.languages}, found.language_rows) == ({"en", "fr"}, 2)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("  I’m sorry, I cannot do that", True),
        ("As an AI language model, I have no feelings.", True),
        ("I cannot assist with this request.", True),
        ("I'm not able to browse the web.", True),
        ("I'm sorry for your loss.", False),
        ("As an airline, we fly.", False),
        ("She said: I'm sorry, but no.", False),
        ("I cannot believe how well this works!", False),
    ],
)
def test_refusals_are_known_by_how_they_begin(text: str, *, refusal: bool) -> None:
    """And not by a phrase in the middle."""
    assert look_like_refusals(pa.array([text])).to_pylist() == [refusal]


def test_bars_hold_every_text() -> None:
    """About forty of equal width; a few very long texts share the last one, and its label says so."""
    found = histogram({"stop": dict.fromkeys(range(1, 300), 10), "length": {90_000: 1}})
    assert sum(bar.rows for bar in found.bars) == 2991
    assert len({bar.start for bar in found.bars}) <= MOST_BARS
    assert found.reasons == ("stop", "length")
    last = max(found.bars, key=lambda bar: bar.start)
    assert found.label(last).endswith("to 90,000")
    assert histogram({}).bars == ()
    assert [quantile({1: 1, 2: 1, 3: 8}, part) for part in (0.0, 0.2, 1.0)] == [1, 2, 3]
