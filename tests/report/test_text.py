"""Texts that try to be something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptmill.files import write_json
from promptmill.report.page import page
from promptmill.report.text import visible
from promptmill.report.verdict import share
from promptmill.report.writing import read_report
from tests.report.runs import answered, run_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with\ttab\nand newline", "plain, with\ttab\nand newline"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("nul \x00 esc \x1b[31m del \x7f", "nul ␀ esc ␛[31m del ␡"),
        ("a lone half \ud83d of a pair, \ufffe and \uffff", "a lone half \ufffd of a pair, \ufffd and \ufffd"),
        ("turned \u202e round", "turned ⟨U+202E⟩ round"),
        ("lines\u2028and\u2029paragraphs", "lines⏎and¶paragraphs"),
        ("مرحبا می\u200cخواهم 👩\u200d🚀 日本語", "مرحبا می\u200cخواهم 👩\u200d🚀 日本語"),
        ("<script>", "<script>"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    """Controls as pictures; what words of other scripts need stays as it is; escaping is the template's."""
    assert visible(text) == shown
    assert visible(text).encode("utf-8")


def test_a_long_text_is_cut_and_says_so() -> None:
    """With how much is left out."""
    assert visible("x" * 1_000_000, 10) == "xxxxxxxxxx … (999,990 more characters)"
    assert visible("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 10**6, "under 0.1 %"), (999_999, 10**6, "over 99.9 %"),
     (1, 200, "0.5 %"), (1, 3, "33 %")],
)  # fmt: skip
def test_few_are_not_told_as_none_nor_almost_all_as_all(part: int, whole: int, text: str) -> None:
    """One failed row of a million is one."""
    assert share(part, whole).replace("\N{NO-BREAK SPACE}", " ") == text


def test_the_first_prompt_is_shown_as_the_model_gets_it(tmp_path: Path) -> None:
    """Where the run has noted it; not where a server renders it, or a version before this one began the run."""
    run = run_of(tmp_path, answered("one", "two"))
    assert "as the model gets it" not in page(read_report(run))
    write_json(run.first_prompt, {"text": "<|im_start|>user\n</pre><script>"})
    shown = page(read_report(run))
    assert "The first prompt as the model gets it" in shown
    assert "&lt;|im_start|&gt;user\n&lt;/pre&gt;&lt;script&gt;</pre>" in shown
