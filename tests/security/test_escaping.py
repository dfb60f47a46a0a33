"""Texts of prompts, models and users stand in card and report as text, whatever they try to be."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import DatasetCard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from promptmill.assemble import lay_out
from promptmill.card import CardOptions, card_text, interim_card
from promptmill.files import read_json, write_json
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.report.page import page
from promptmill.report.writing import read_report
from promptmill.run import RunFolder
from tests.fakes import StubEngine, begun_run

SECTIONS = [
    "Load it", "Train on it", "How rows ended", "Lengths in tokens", "Examples", "Generated with", "Make it again",
    "Columns", "Libraries",
]  # fmt: skip
KEYS = {"configs", "dataset_info", "size_categories", "task_categories", "tags", "license", "pretty_name"}
HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "--> <!--",
    "---\nlicense: evil\n---\n# New",
    "`" * 9 + "\n# Out\n",
    "|a|b|\n|---|---|\n",
    "[x](javascript:alert(1))",
    "![x](http://x)",
    "&lt;b&gt;",
    "\n\n# Heading\n\n",
    "a: b\n- c",
    "!!python/object/apply:os.system [x]",
    "\u2028\u202e\x00\x1b[31m",
    "'\"; rm -rf /",
    "<https://example.org>",
    "*b* _i_ ~~s~~",
    "\\",
    "=====",
    "\r\n***\r\n",
    "]]>",
    "&#60;b>",
)
TEXT = st.sampled_from(HOSTILE) | st.lists(st.sampled_from([*HOSTILE, "\n", " ", "<", "`", "|", "a"]), max_size=3).map(
    "".join
)
NAMES = TEXT.map(lambda text: text or "x")


def hostile_run(folder: Path, column: str, text: str) -> RunFolder:
    """A run in which this is a column's name, and this everything else that may be any text."""
    folder.mkdir(exist_ok=True)
    source = folder / "prompts.jsonl"
    name = column.replace("\0", "") or "x"  # which prompts are refused for
    row = {"prompt": f"x {text}".replace("\0", ""), name: text, "nested": {name: text}}
    source.write_text(json.dumps(row) + "\n")
    run = begun_run(folder / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    manifest = recorded_manifest(run)
    store = shard_store(run, manifest, 0)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, 0, 1)))
    fill_shard(store, missing, StubEngine(), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    lay_out(run, manifest, [0])
    record: dict[str, Any] = read_json(run.record) or {}
    record["prompts_source"] = text
    record["settings"].update(system_prompt=text, template=text, prompt_column=text, model=f"m/{text}", revision=text)
    record["settings"]["sampling"]["stop"] = [text]
    write_json(run.record, record)
    return run


def require_plain_card(card: str, sections: list[str], keys: set[str]) -> None:
    """Its header has our keys alone, and its body our headings alone; no HTML, link or picture."""
    read = DatasetCard(card, ignore_metadata_errors=False)
    assert set(read.data.to_dict()) <= keys
    tokens = MarkdownIt("commonmark").enable("table").parse(read.text)
    assert tokens[0].tag == "h1"
    headings = [text.content for token, text in pairwise(tokens) if token.type == "heading_open"]
    assert headings[1:] == sections
    inline = [child.type for token in tokens for child in token.children or ()]
    kinds = {token.type for token in tokens} | set(inline)
    assert not kinds & {"html_block", "html_inline", "image", "link_open", "hr", "lheading_open"}


FUZZ = settings(max_examples=15, deadline=None, derandomize=True, database=None)


@FUZZ
@given(column=NAMES, text=NAMES)
@example(column=HOSTILE[4], text=HOSTILE[4])
@example(column=HOSTILE[0], text=HOSTILE[5])
def test_the_card_is_ours_alone(column: str, text: str) -> None:
    """YAML, HTML and Markdown in columns' names, settings, prompts, responses, title, licence and tags."""
    options = CardOptions(repo="me/mine", license=text, pretty_name=text, tags=(text,))
    with TemporaryDirectory() as folder:
        run = hostile_run(Path(folder), column, text)
        manifest = recorded_manifest(run)
        counts = lay_out(run, manifest, [0]).counts
        require_plain_card(card_text(run, manifest, counts, options), SECTIONS, KEYS)
        require_plain_card(interim_card(text, options), [], KEYS | {"viewer"})


class Tags(HTMLParser):
    """The elements of a page, and what handlers and addresses they have."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.acting: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        self.elements.append(tag)
        self.acting += [(name, value) for name, value in attrs if name.startswith("on") or name in ("src", "srcdoc")]
        self.acting += [(name, value) for name, value in attrs if name == "href" and not str(value).startswith("#")]


def elements(run: RunFolder) -> list[str]:
    """The elements of the report on a run."""
    tags = Tags()
    tags.feed(page(read_report(run)))
    assert tags.acting == []
    return tags.elements


def test_the_report_has_no_element_of_theirs(tmp_path: Path) -> None:
    """As many scripts, pictures and links as without."""
    runs = [hostile_run(tmp_path / str(len(part)), part, part) for part in ("harmless", " ".join(HOSTILE))]
    harmless, found = map(elements, runs)
    for kind in ("script", "img", "iframe", "a", "b", "link", "style", "object", "base", "form", "svg"):
        assert found.count(kind) == harmless.count(kind), kind
