"""BuildDataset as a user runs it: one command, a process of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pytest

from promptmill.errors import ConfigurationError
from tests.command import Outcome, build_dataset, dataset_table, only_run, parquet_files

PROMPTS = ["The first prompt", "Another one", "A third, somewhat longer prompt than the others"]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Three prompts, with a column of the user's own."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text, "topic": index}) + "\n" for index, text in enumerate(PROMPTS)))
    return path


def build(model: Path, prompts: Path, *options: object) -> Outcome:
    """A short run in the folder of the prompts."""
    common = ("--model", model, "--prompts", prompts, "--max-new-tokens", 8)
    return build_dataset(*common, *options, cwd=prompts.parent)


def test_prompts_become_a_dataset_that_datasets_opens(tiny_gpt2: Path, prompts: Path) -> None:
    """In prompt order, with the user's own columns; the prompt is not echoed."""
    outcome = build(tiny_gpt2, prompts, "--samples-per-prompt", 2)
    assert outcome.code == 0, outcome.said
    run = only_run(prompts.parent / "data")
    rows = datasets.load_dataset(str(run / "dataset"), split="train", cache_dir=str(prompts.parent / "cache"))
    assert rows["prompt"] == [text for text in PROMPTS for _ in range(2)]
    assert rows["sample_index"] == [0, 1] * 3
    assert rows["topic"] == [0, 0, 1, 1, 2, 2]
    assert set(rows["model"]) == {"tiny-gpt2"}
    assert set(rows["finish_reason"]) <= {"stop", "length"}
    assert all(1 <= tokens <= 8 for tokens in rows["completion_tokens"])
    assert not any(text in response for text, response in zip(rows["prompt"], rows["response"], strict=True))
    assert f"The dataset is complete: 6 rows (0 errors) in {Path('data/runs') / run.name / 'dataset'}" in outcome.said


def test_a_second_run_does_nothing_and_says_so(tiny_gpt2: Path, prompts: Path) -> None:
    """No file changes, no torch is imported; where the dataset is, and how its run went, is all that is said."""
    first = build(tiny_gpt2, prompts)
    before = {path: path.stat().st_mtime_ns for path in prompts.parent.rglob("*")}
    second = build(tiny_gpt2, prompts)
    assert (first.code, second.code) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in prompts.parent.rglob("*")} == before
    assert second.said.count("\n") == 2
    assert "The dataset is complete" in second.said
    assert "The report: " in second.said


def test_the_same_settings_make_the_same_bytes(tiny_gpt2: Path, prompts: Path) -> None:
    """Batch size and checkpoint interval change nothing."""
    assert build(tiny_gpt2, prompts, "--data-dir", "one", "--batch-size", 1).code == 0
    assert build(tiny_gpt2, prompts, "--data-dir", "two", "--batch-size", 3, "--checkpoint-seconds", 0).code == 0
    one, two = only_run(prompts.parent / "one"), only_run(prompts.parent / "two")
    assert one.name == two.name
    assert [path.read_bytes() for path in parquet_files(one)] == [path.read_bytes() for path in parquet_files(two)]
    assert (one / "dataset" / "README.md").read_bytes() == (two / "dataset" / "README.md").read_bytes()


def test_a_changed_setting_makes_a_run_of_its_own(tiny_gpt2: Path, prompts: Path) -> None:
    """Without a name, both runs stand side by side."""
    assert build(tiny_gpt2, prompts).code == 0
    assert build(tiny_gpt2, prompts, "--temperature", 0).code == 0
    assert len(list((prompts.parent / "data" / "runs").iterdir())) == 2


def test_a_changed_setting_under_the_same_name_is_refused(tiny_gpt2: Path, prompts: Path) -> None:
    """The answer lists old and new, and nothing is lost."""
    assert build(tiny_gpt2, prompts, "--name", "mine").code == 0
    prompts.write_text(prompts.read_text() + '{"prompt": "One more", "topic": 9}\n')
    outcome = build(tiny_gpt2, prompts, "--name", "mine", "--temperature", 0.2, "--stop", "END")
    assert outcome.code == 78
    assert "temperature: 0.7 → 0.2" in outcome.said
    assert 'stop: [] → ["END"]' in outcome.said
    assert "prompts: the content changed" in outcome.said
    assert "another --name" in outcome.said
    assert "Traceback" not in outcome.said
    assert dataset_table(only_run(prompts.parent / "data")).num_rows == 3


def test_settings_may_stand_in_luigi_cfg(tiny_gpt2: Path, prompts: Path) -> None:
    """The command line wins over luigi.cfg, which wins over the default."""
    (prompts.parent / "luigi.cfg").write_text(f"[BuildDataset]\nmodel = {tiny_gpt2}\nmax_new_tokens = 3\nlimit = 2\n")
    outcome = build_dataset("--prompts", prompts, "--limit", 1, cwd=prompts.parent)
    assert outcome.code == 0, outcome.said
    table = dataset_table(only_run(prompts.parent / "data"))
    assert table.num_rows == 1
    assert table["completion_tokens"].to_pylist() == [3]


def test_a_prompt_that_is_too_long_becomes_an_error_row(tiny_gpt2: Path, prompts: Path) -> None:
    """It is counted, says why, and stops nothing."""
    prompts.write_text(json.dumps({"prompt": "x" * 600}) + '\n{"prompt": "short"}\n')
    outcome = build(tiny_gpt2, prompts)
    assert outcome.code == 0
    rows = dataset_table(only_run(prompts.parent / "data")).to_pylist()
    assert [row["finish_reason"] == "error" for row in rows] == [True, False]
    assert "600" in rows[0]["error"]
    assert "(1 errors)" in outcome.said


def test_two_workers_fill_the_shards_of_one_run(tiny_gpt2: Path, prompts: Path) -> None:
    """`--workers 2` makes the same rows as one process; each of the two loads the model once, not once a shard."""
    prompts.write_text("".join(json.dumps({"prompt": f"number {index}"}) + "\n" for index in range(1024)))
    options = ("--max-new-tokens", 4)
    assert build(tiny_gpt2, prompts, *options, "--data-dir", "two", "--workers", 2).code == 0
    assert build(tiny_gpt2, prompts, *options, "--data-dir", "one").code == 0
    one, two = only_run(prompts.parent / "one"), only_run(prompts.parent / "two")
    assert len(parquet_files(two)) == 8
    assert len(list(two.glob("progress/*.json"))) <= 2, "a file a process that generated"
    assert not list(two.glob("slurm/claims/*.json"))
    assert dataset_table(one).equals(dataset_table(two))


def test_damaged_rows_are_made_again(tiny_gpt2: Path, prompts: Path) -> None:
    """A flipped bit in a chunk is found when the dataset is assembled, and mended in the same run."""
    assert build(tiny_gpt2, prompts).code == 0
    run = only_run(prompts.parent / "data")
    good = dataset_table(run)
    (run / "dataset.json").unlink()
    (chunk,) = run.glob("shards/00000/*.parquet")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    outcome = build(tiny_gpt2, prompts)
    assert outcome.code == 0, outcome.said
    assert "is damaged; it is set aside" in outcome.said
    assert dataset_table(run).equals(good)


def test_a_dry_run_shows_prompts_and_generates_nothing(tiny_gpt2: Path, prompts: Path) -> None:
    """Three of them with their tokens; the command without it goes on from there, and afterwards it still shows."""
    dry = build(tiny_gpt2, prompts, "--dry-run")
    assert dry.code == 0, dry.said
    for number, text in enumerate(PROMPTS, 1):
        assert f"Prompt {number} as the model gets it, {len(text)} tokens: '{text}'" in dry.said
    assert "nothing is generated: this was a dry run" in dry.said
    run = only_run(prompts.parent / "data")
    assert not [name for name in ("identity.json", "shards", "dataset") if (run / name).exists()]
    assert build(tiny_gpt2, prompts).code == 0
    assert only_run(prompts.parent / "data") == run
    again = build(tiny_gpt2, prompts, "--dry-run")
    assert (again.code, again.said.count("as the model gets it")) == (0, 3)


def test_what_stands_around_prompts_can_be_chosen(tiny_gpt2: Path, tmp_path: Path) -> None:
    """The model's chat template, none, another; control tokens in prompts as tokens or as text."""
    chat = Path(shutil.copytree(tiny_gpt2, tmp_path / "chat"))
    (chat / "chat_template.jinja").write_text("[{{ messages[0]['content'] }}]")
    (tmp_path / "own.jinja").write_text("<<{{ messages[0]['content'] }}>>")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": "a</s>b"}) + "\n")
    tokens = {}
    for name, options in {
        "own": [],
        "none": ["--chat-template", "none"],
        "file": ["--chat-template", "@own.jinja"],
        "split": ["--chat-template", "none", "--split-special-tokens"],
    }.items():
        done = build(chat, prompts, "--name", name, *options)
        assert done.code == 0, done.said
        assert ("1 prompt contains </s>, which the model reads" in done.said) == (name != "split")
        (tokens[name],) = dataset_table(tmp_path / "data" / "runs" / name)["prompt_tokens"].to_pylist()
    assert tokens == {"own": 5, "none": 3, "file": 7, "split": len("a</s>b")}
    wrong = build(chat, prompts, "--chat-template", "long")
    assert wrong.code == ConfigurationError.exit_code
    assert "no chat template called long. Its templates: default." in wrong.said
