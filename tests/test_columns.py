"""Prompt and answer in the columns that trainers take for what they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from promptmill.assemble import assemble, recorded_dataset
from promptmill.columns import LAYOUTS, choose_layout
from promptmill.engine.contract import Completion, Request
from promptmill.errors import ConfigurationError
from promptmill.files import write_json
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.outcome import told
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.report.rows import RowSource
from promptmill.run import RunFolder, recorded_identity
from tests.fakes import begun_run

TURNS = [
    [{"role": "user", "content": "one"}],
    [
        {"role": "system", "content": "own"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "and?"},
    ],
    [{"role": "user", "content": "bad"}],
]
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = [[SYSTEM, *TURNS[0]], TURNS[1], [SYSTEM, *TURNS[2]]]
PLAIN = ["one", "two", "bad"]


class Engine:
    """Answers each prompt, but for the last."""

    def generate(self, requests: Iterator[Request], should_stop: Any, may_begin: Any = None) -> Iterator[Completion]:
        """One completion a request."""
        for request in requests:
            if "bad" in str(request.prompt or request.messages):
                yield Completion(request.position, "", "error", 3, 0, error="The prompt is too long.")
            else:
                yield Completion(request.position, f"answer {request.position}", "stop", 3, 2)


def made(folder: Path, columns: str | None, rows: list[dict[str, Any]], *, chat: bool = True) -> RunFolder:
    """A run of these prompts, filled and assembled."""
    source = folder / "prompts.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    template, system = ("d" * 64, SYSTEM["content"]) if chat else (None, None)
    run = begun_run(folder / "data", source, columns=columns, chat_template=template, system_prompt=system)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    form = PromptForm.of(run.settings, recorded_identity(run), 1)
    store = shard_store(run, recorded_manifest(run), 0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, 0, len(rows))))
    fill_shard(store, missing, Engine(), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    assemble(run, lambda run: None)
    return run


def loaded(run: RunFolder, cache: Path) -> datasets.Dataset:
    """The dataset as people load it."""
    return datasets.load_dataset(str(run.dataset), split="train", cache_dir=str(cache))


def chats(**more: Any) -> list[dict[str, Any]]:
    """Rows of conversations."""
    return [{"messages": turns, **more} for turns in TURNS]


def plain(**more: Any) -> list[dict[str, Any]]:
    """Rows of plain prompts."""
    return [{"prompt": text, **more} for text in PLAIN]


def answer(index: int) -> list[dict[str, str]]:
    """The turn that the engine answers with."""
    return [{"role": "assistant", "content": f"answer {index}"}]


def test_conversations_are_prompts_and_never_messages_without_the_answer(tmp_path: Path) -> None:
    """Flat: as the model was given them, the system prompt included."""
    table = loaded(made(tmp_path, "flat", chats()), tmp_path)
    assert table["prompt"][:] == ASKED
    assert table["response"][:] == ["answer 0", "answer 1", ""]
    assert "messages" not in table.column_names


def test_the_whole_conversation(tmp_path: Path) -> None:
    """The answer is the last turn; a row without one is left out, and counted."""
    run = made(tmp_path, "messages", chats(topic="x"))
    table = loaded(run, tmp_path)
    assert table["messages"][:] == [[*ASKED[index], *answer(index)] for index in (0, 1)]
    assert {"prompt", "response"}.isdisjoint(table.column_names)
    assert table["topic"][:] == ["x", "x"]
    dataset = recorded_dataset(run)
    assert dataset is not None
    assert (dataset.counts.rows, dataset.counts.error) == (3, 1)
    said = told(run, dataset)
    assert said.startswith("2 rows in ")
    assert "1 ended in error and are left out. Most often (1 times): The prompt is too long." in said
    card = (run.dataset / "README.md").read_text()
    assert "not generated, and left out here" in card
    assert "2 completions of 3 prompts" in card
    assert RowSource(run, recorded_manifest(run)).rows == 3


@pytest.mark.parametrize("rows", [chats(), plain()])
def test_a_prompt_and_its_completion_of_a_chat(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """Both are messages, whether prompts were conversations or plain."""
    table = loaded(made(tmp_path, "prompt-completion", rows), tmp_path)
    asked = ASKED if "messages" in rows[0] else [[SYSTEM, {"role": "user", "content": text}] for text in PLAIN]
    assert table["prompt"][:] == asked[:2]
    assert table["completion"][:] == [answer(0), answer(1)]


def test_a_prompt_and_its_completion_of_a_base_model(tmp_path: Path) -> None:
    """Both are text; a user's column of the same name steps aside."""
    run = made(tmp_path, "prompt-completion", plain(completion="mine", input_completion="own"), chat=False)
    table = loaded(run, tmp_path)
    assert table["prompt"][:] == PLAIN[:2]
    assert table["completion"][:] == ["answer 0", "answer 1"]
    assert table["input_completion"][:] == ["own", "own"]
    assert table["input_input_completion"][:] == ["mine", "mine"]
    card = (run.dataset / "README.md").read_text()
    assert "| `completion` | the text generated alone |" in card
    assert "| `input_input_completion` | from the prompts |" in card


@pytest.mark.parametrize("kind", ["messages", "prompt"])
def test_runs_from_before_keep_their_columns(kind: str, tmp_path: Path) -> None:
    """No layout was noted: `messages` without the answer, or `prompt`, beside `response`."""
    table = loaded(made(tmp_path, None, chats() if kind == "messages" else plain()), tmp_path)
    assert table[kind][:] == (TURNS if kind == "messages" else PLAIN)
    assert table["response"][:] == ["answer 0", "answer 1", ""]


@pytest.mark.parametrize("begun", [None, "flat"])
def test_rows_are_laid_out_anew(begun: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not one is generated again; the dataset is not complete until then."""
    run = made(tmp_path, begun, chats())
    choose_layout(run, None)
    choose_layout(run, begun)
    assert recorded_dataset(run) is not None
    assert not caplog.records
    choose_layout(run, "messages")
    assert "laid out with --columns flat, and are now with messages" in caplog.text
    assert recorded_dataset(run) is None
    assemble(run, lambda run: None)
    assert len(loaded(run, tmp_path)["messages"]) == 2
    assert not run.kept.exists(), "what was ours is written over"


def test_what_is_published_keeps_its_columns(tmp_path: Path) -> None:
    """Others read it; a run of its own may have others."""
    run = made(tmp_path, "flat", chats())
    write_json(run.published, {"repo": "someone/there"})
    with pytest.raises(ConfigurationError, match="published with --columns flat"):
        choose_layout(run, "messages")
    assert recorded_dataset(run) is not None


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model to train, whose template says what the assistant wrote."""
    from tests.engine.tiny import byte_tokenizer, tiny_model

    folder = tmp_path_factory.mktemp("student")
    tiny_model("llama").save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = "<|end|>"
    tokenizer.chat_template = (
        "{% for message in messages %}[{{ message['role'] }}]{% if message['role'] == 'assistant' %}{% generation %}"
        "{{ message['content'] }}</s>{% endgeneration %}{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # TRL's own, with this transformers
@pytest.mark.parametrize(
    ("columns", "kind", "chat"),
    [
        *((columns, kind, True) for columns in (None, *LAYOUTS) for kind in ("messages", "prompt")),
        # A base model is asked no conversations.
        *((columns, "prompt", False) for columns in (None, "flat", "prompt-completion")),
    ],
)
def test_the_cards_lines_train_on_the_answers_alone(
    columns: str | None, kind: str, chat: bool, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TRL does it: the labels of a batch are the answers; the prompts are what the model was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"messages": turns[-1:]} for turns in TURNS] if kind == "messages" else plain()
    run = made(tmp_path, columns, rows, chat=chat)
    card = (run.dataset / "README.md").read_text()
    (lines,) = re.findall(r"## Train on it\n\n```python\n(.*?)```", card, re.DOTALL)
    lines = lines.replace("PATH_OR_REPO", str(run.dataset)).replace('"MODEL"', repr(str(student)))
    lines = lines.replace("\nSFTTrainer(", "\ntrainer = SFTTrainer(").replace(").train()", ")")
    lines = lines.replace("SFTConfig(", "SFTConfig(use_cpu=True, report_to=[], ")
    space: dict[str, Any] = {}
    exec(lines, space)  # as readers of the card do
    tokenizer = space["trainer"].processing_class
    (batch,) = list(space["trainer"].get_train_dataloader())
    learned = [tokenizer.decode([token for token in row.tolist() if token != -100]) for row in batch["labels"]]
    end = "</s>" if chat else tokenizer.eos_token
    assert sorted(learned) == [f"answer 0{end}", f"answer 1{end}"]
    read = sorted(tokenizer.batch_decode(batch["input_ids"]))[0]
    system = "[system]Be brief." if columns is not None or kind == "prompt" else ""
    assert read.startswith(f"{system}[user]" if chat else "oneanswer 0")
    space["trainer"].train()
