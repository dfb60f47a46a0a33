"""Which column becomes the prompt, and which travel through."""

from __future__ import annotations

import json
import re
import shlex

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill.errors import ConfigurationError, InvalidRows
from promptmill.prompts import PromptOptions, UserColumn

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
ANSWER = {"role": "assistant", "content": "Yes?"}
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
GPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]
BATCH = {"custom_id": "request-1", "body": {"model": "gpt-4o", "messages": CHAT, "max_tokens": 100}}
LAST = {"drop_last_answer": True}


def lines(*rows) -> str:
    """JSON lines of these rows."""
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"prompt": "a", "text": "b"}, {}, {"prompt": "a", "text": "b"}),
        ({"text": "a", "id": 1}, {}, {"prompt": "a", "text": "a", "id": 1}),
        ({"instruction": "a"}, {}, {"prompt": "a", "instruction": "a"}),
        ({"instruction": "a", "input": ""}, {}, {"prompt": "a", "instruction": "a", "input": ""}),
        ({"instruction": "a", "input": "b"}, {}, {"prompt": "a\n\nb", "instruction": "a", "input": "b"}),
        (
            {"question": "a", "prompt": "b"},
            {"column": "question"},
            {"prompt": "a", "question": "a", "input_prompt": "b"},
        ),
        ({"messages": CHAT, "id": 1}, {}, {"messages": CHAT, "id": 1}),
        ({"prompt": CHAT}, {}, {"messages": CHAT}),
        ({"chat": CHAT}, {"column": "chat"}, {"messages": CHAT, "chat": CHAT}),
        ({"messages": json.dumps(CHAT)}, {}, {"messages": CHAT}),
        ({"prompt": json.dumps(CHAT)}, {}, {"messages": CHAT}),
        ({"messages": [{"role": "developer", "content": "Be brief."}, CHAT[1]]}, {}, {"messages": CHAT}),
        ({"messages": [{"role": "system", "content": ""}, CHAT[1]]}, {}, {"messages": CHAT[1:]}),
        ({"messages": [{"role": "system", "content": None}, CHAT[1]]}, {}, {"messages": CHAT[1:]}),
        ({"messages": [{"role": "user", "content": PARTS}]}, {}, {"messages": [{"role": "user", "content": "a\nb"}]}),
        ({"conversations": GPT[:1]}, {}, {"messages": CHAT[1:], "conversations": GPT[:1]}),
        ({"conversations": GPT}, LAST, {"messages": CHAT[1:], "conversations": GPT}),
        ({"messages": [*CHAT, ANSWER]}, LAST, {"messages": CHAT, "input_messages": [*CHAT, ANSWER]}),
        ({"messages": CHAT}, LAST, {"messages": CHAT, "input_messages": CHAT}),
        (BATCH, {}, {"messages": CHAT, **BATCH}),
        (BATCH, {"column": "body.messages"}, {"messages": CHAT, **BATCH}),
        ({"a": {"b.c": {"d": "x"}}}, {"column": "a.b.c.d"}, {"prompt": "x", "a": {"b.c": {"d": "x"}}}),
        ({"a.b": "x", "a": {"b": "y"}}, {"column": "a.b"}, {"prompt": "x", "a.b": "x", "a": {"b": "y"}}),
        ({"instruction": "a", "context": "b"}, {}, {"prompt": "a\n\nb", "instruction": "a", "context": "b"}),
        ({"instruction": "a", "context": ["b"]}, {}, {"prompt": "a", "instruction": "a", "context": ["b"]}),
        ({"prompt": "Hi", "system": "Be brief."}, {}, {"messages": CHAT, "system": "Be brief."}),
        ({"text": "Hi", "system": " "}, {}, {"prompt": "Hi", "text": "Hi", "system": " "}),
        ({"prompt": "Hi", "system": 5}, {}, {"prompt": "Hi", "system": 5}),
        ({"messages": CHAT, "system_prompt": "Be brief."}, {}, {"messages": CHAT, "system_prompt": "Be brief."}),
        ({"conversations": GPT[:1], "system": ""}, {}, {"messages": CHAT[1:], "conversations": GPT[:1], "system": ""}),
        ({"prompt": "a", "n": 2}, {"template": "{{ prompt }}{{ n }}"}, {"prompt": "a2", "input_prompt": "a", "n": 2}),
    ],
)
def test_prompt_is_taken_from_the_column_that_fits(bench, row, options, expected):
    """The prompt comes first, and the column it came from stays unless it is the prompt itself."""
    assert bench.rows(bench.write("a.jsonl", lines(row)), **options) == [expected]


def test_choice_of_the_column_is_logged(bench, caplog):
    """Which column was used can be read afterwards."""
    caplog.set_level("INFO")
    bench.prepare(bench.write("a.jsonl", lines({"text": "a", "seed": 1})))
    assert "taken from column text of" in caplog.text
    assert "the first is 'a'" in caplog.text
    assert "column seed travels through as input_seed" in caplog.text


def test_names_that_the_dataset_needs_are_renamed(bench):
    """`input_` stands in front, as often as the name is taken."""
    row = {"prompt": "a", "response": "r", "input_response": "i", "seed": 1, "model": None}
    prepared = bench.prepare(bench.write("a.jsonl", lines(row)))
    assert prepared.columns == (
        UserColumn("response", "input_input_response"),
        UserColumn("input_response", "input_response"),
        UserColumn("seed", "input_seed"),
        UserColumn("model", "input_model"),
    )


@pytest.mark.parametrize(
    ("row", "proposed"),
    [
        ({"id": "1", "answer": "a long answer", "question": "why?"}, "question"),
        ({"url": "http://example.org/a/long/one", "intent": "a b", "comment": "a longer text"}, "comment"),
        ({"id": 1, "data": {"question": "why?"}}, "data.question"),
        ({"id": "x", "turns": CHAT}, "turns"),
        ({"n": 1, "my text's": "a b"}, "my text's"),
        ({"-x": "a b"}, "-x"),
    ],
)
def test_the_column_that_is_proposed_is_a_likely_one(bench, row, proposed):
    """What is printed works as it stands, and leads to prompts and not to ids or answers."""
    path = bench.write("a.jsonl", lines(row, row))
    with pytest.raises(ConfigurationError, match=f"the columns are {', '.join(row)}") as caught:
        bench.prepare(path)
    typed = shlex.split(str(caught.value).split("holds the prompt: ")[1])
    option, column = typed[0].split("=") if "=" in typed[0] else typed
    assert (option, column) == ("--prompt-column", proposed)
    assert bench.prepare(path, column=column).rows == 2


def test_a_path_into_a_column_of_objects_is_proposed(bench):
    """What is printed leads to the messages in a line of OpenAI's batches."""
    with pytest.raises(ConfigurationError, match=r"holds objects.*: --prompt-column body\.messages"):
        bench.prepare(bench.write("a.jsonl", lines(BATCH)), column="body")


def test_nothing_is_proposed_where_no_column_has_text(bench):
    """A column of numbers makes no prompt."""
    with pytest.raises(ConfigurationError, match=r"columns are x, y\. None of them has text in every row; --template"):
        bench.prepare(bench.write("a.jsonl", lines({"x": 1, "y": "a"}, {"x": 2, "y": ""})))


@pytest.mark.parametrize(
    ("row", "options", "missed"),
    [
        ({"prompt": "a", "context": "b"}, {}, "context is not in the prompt"),
        ({"question": "a", "passage": "b", "input": "c"}, {"column": "question"}, "input, passage are not in"),
        (
            {"prompt": "a", "context": ["b"], "system": "c"},
            {"template": "{{ prompt }}"},
            "system, context|context, sys",
        ),
        ({"messages": CHAT, "context": "b"}, {}, "context is not in the prompt"),
        ({"prompt": "a", "context": "", "system": 5, "note": "x"}, {}, None),
        ({"prompt": "a", "context": "b"}, {"template": "{{ context }}{{ prompt }}"}, None),
        ({"prompt": "a", "context": "b"}, {"template": "{{ row.context }}{{ prompt }}"}, None),
        ({"instruction": "a", "context": "b", "input": "c"}, {}, None),
    ],
)
def test_columns_that_look_like_parts_of_the_prompt_are_named(bench, row, options, missed, caplog):
    """One line says that they are not in it, with a template that works as it stands."""
    path = bench.write("a.jsonl", lines(row))
    bench.prepare(path, **options)
    said = [record.getMessage() for record in caplog.records if "not in the prompt" in record.getMessage()]
    assert len(said) == (missed is not None)
    if missed is not None:
        assert re.search(missed, said[0])
    if said and "--template" in said[0]:
        template = shlex.split(said[0].split("--template ")[1])[0]
        caplog.clear()
        assert bench.rows(path, template=template)[0]["prompt"].startswith("a ")
        assert "not in the prompt" not in caplog.text


@pytest.mark.parametrize("name", ["messages", "conversations"])
@pytest.mark.parametrize("text", ["Hi", "[{'role': 'user', 'content': 'Hi'}]", '{"role": "user", "content": "Hi"}'])
def test_text_that_is_no_json_list_of_messages_is_refused(bench, name, text):
    """The text itself is never taken for the prompt."""
    with pytest.raises(InvalidRows, match=r"line 1, column .* has to be a list of messages"):
        bench.prepare(bench.write("a.jsonl", lines({name: text})))


def test_messages_in_a_csv_file_are_read(bench):
    """A field of CSV can hold JSON text alone."""
    path = bench.write("a.csv", 'id,messages\n1,"[{""role"": ""user"", ""content"": ""2+2?""}]"\n')
    assert bench.rows(path) == [{"messages": [{"role": "user", "content": "2+2?"}], "id": "1"}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "a"}] * 1500 + [{"prompt": "a", "system": "Be brief."}],
        [{"messages": CHAT, "system": "Be long."}],
    ],
)
def test_a_system_prompt_that_would_be_lost_is_refused(bench, rows):
    """One that comes late in the file, or another than the conversation's own."""
    with pytest.raises(InvalidRows, match=r"column system: (has a system prompt|is not the system message)"):
        bench.prepare(bench.write("a.jsonl", lines(*rows)))


@pytest.mark.parametrize("options", [{}, {"template": "{{ text }}"}])
def test_dropping_the_last_answer_of_text_is_refused(bench, options):
    """An option that does nothing would be taken for one that does."""
    with pytest.raises(ConfigurationError, match="--drop-last-answer is for messages"):
        bench.prepare(bench.write("a.jsonl", lines({"text": "a"})), drop_last_answer=True, **options)


def test_other_delimiter_is_noticed(bench):
    """A header in one piece with semicolons in it gets a hint."""
    with pytest.raises(ConfigurationError, match="another delimiter"):
        bench.prepare(bench.write("a.csv", "prompt;id\nx;1\n"))


def test_unknown_column_proposes_the_nearest(bench):
    """A slip of the finger is recognised."""
    with pytest.raises(ConfigurationError, match=r"columns are question, id.*Did you mean question"):
        bench.prepare(bench.write("a.jsonl", lines({"question": "a", "id": 1})), column="qestion")


def test_files_of_a_glob_have_to_agree_on_the_column(bench):
    """The file with the other column is named."""
    bench.write("a.jsonl", lines({"prompt": "a"}))
    bench.write("b.jsonl", lines({"text": "a"}))
    with pytest.raises(InvalidRows, match=r"b\.jsonl, line 1, column prompt: is missing; the columns here are text"):
        bench.prepare(f"{bench.folder}/*.jsonl")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "list of messages"),
        ("Hi", "list of messages"),
        (["Hi"], "message 1 is 'Hi', not an object"),
        ([{"role": "user"}], "content of message 1 is null"),
        ([{"role": "user", "content": " "}], "content of message 1 is empty"),
        ([{"role": "user", "content": [{"type": "text"}]}], "the content of message 1 has the part"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "a part of type 'image_url', which is not text"),
        ([{"role": "tool", "content": "4"}], "role 'tool'"),
        ([{"role": "system", "content": ""}], "has no message of the user"),
        ([{"role": "bot", "content": "Hi"}], "role 'bot'; it has to be system, user, assistant"),
        ([{"role": ["user"], "content": "Hi"}], "has the role"),
        (
            [*CHAT, ANSWER],
            "ends with a message of the assistant; the last one has to be the user's. --drop-last-answer",
        ),
        ([{"role": "user", "content": "Hi", "name": "Al"}], "message 1 has name"),
    ],
)
def test_messages_are_checked(bench, messages, said):
    """What no chat template could render is refused with its line."""
    with pytest.raises(InvalidRows, match="line 2") as caught:
        bench.prepare(bench.write("a.jsonl", lines({"messages": CHAT}, {"messages": messages})))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"source": ""}, {"source": "a", "limit": 0}, {"source": "a", "column": "b", "template": "c"}]
)
def test_options_are_checked_when_they_are_made(options):
    """Nothing is read for options that cannot be meant."""
    with pytest.raises(ConfigurationError, match="--"):
        PromptOptions(**options)


def test_types_are_found_over_the_whole_source(bench):
    """Numbers widen, missing values are null."""
    rows = [{"prompt": "p"}, *[{"prompt": "p", "n": 1, "o": {"a": [1]}}] * 1500, {"prompt": "p", "n": 0.5}]
    found = bench.rows(bench.write("a.jsonl", lines(*rows)))
    assert found[0] == {"prompt": "p", "n": None, "o": None}
    assert found[1] == {"prompt": "p", "n": 1.0, "o": {"a": [1]}}
    assert found[-1] == {"prompt": "p", "n": 0.5, "o": None}


WEATHER = {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}, "default": 1}}
ADD = {"name": "add", "parameters": {"properties": {"y": {"type": ["number", "null"]}, "x": {}}, "default": "é"}}


@pytest.mark.parametrize("between", [0, 1500])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([WEATHER], [ADD]),
        ([WEATHER], [WEATHER, ADD]),
        ([WEATHER], []),
        ({"a": 1}, {"b": "x"}),
        ({"a": 1}, {}),
        ({"a": {"b": [1]}}, {"a": {"b": ["x"]}}),
        ({}, {}),
        ([{}], [None]),
        ({str(key): key for key in range(1001)}, {"a": 2**70}),
    ],
)
def test_objects_whose_keys_differ_are_kept_as_json_text(bench, first, second, between, caplog):
    """No row gets the keys of another, wherever in the file the other stands, and it is said."""
    caplog.set_level("INFO")
    rows = [{"prompt": "p", "o": value} for value in (first, *[first] * between, None, second)]
    found = bench.rows(bench.write("a.jsonl", lines(*rows)))
    texts = (found[0]["o"], found[-1]["o"])
    if isinstance(texts[0], str):
        assert [json.dumps(json.loads(text)) for text in texts] == [json.dumps(first), json.dumps(second)]
        assert found[-2]["o"] is None
        assert "column o has objects whose keys differ: it travels through as JSON text" in caplog.text
    else:
        assert texts == (first, second)
    assert isinstance(texts[0], str) == (second != [])


def test_parquet_files_whose_objects_differ_are_kept_as_json_text(bench):
    """Types that a file states are no reason to give its rows the keys of another file's."""
    for name, value in (("a", {"x": 1}), ("b", {"y": [1.5]})):
        pq.write_table(pa.table({"prompt": ["p"], "o": [value]}), bench.folder / f"{name}.parquet")
    found = bench.rows(f"{bench.folder}/*.parquet")
    assert [json.loads(row["o"]) for row in found] == [{"x": 1}, {"y": [1.5]}]


@pytest.mark.parametrize(
    "bad", [{"b": float("inf")}, {"\ud800": 1}, {"b": "\ud800"}, {"b": json.loads("[" * 70 + "]" * 70)}]
)
def test_objects_that_json_cannot_hold_are_refused(bench, bad):
    """What is wrong within is said of its own line."""
    path = bench.write("a.jsonl", lines({"prompt": "p", "o": {"a": 1}}, {"prompt": "p", "o": bad}))
    with pytest.raises(InvalidRows, match=r"line 2, column o: (has|is nested|is .*JSON)"):
        bench.prepare(path)
