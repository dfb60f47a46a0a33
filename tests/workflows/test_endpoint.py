"""BuildDataset on a server: killed, refused, left alone by its server, and stopped for its price."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptmill.run import RunFolder
from promptmill.status import read_status
from tests.command import build_dataset, committed, dataset_table, only_run, parquet_files, rows_of, start
from tests.endpoint.behaviours.outages import BadDay
from tests.endpoint.server import MODEL, WordServer
from tests.forkserver import Process, run_command

ROWS = 300


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A few hundred prompts, which make two shards."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"prompt number {index}"}) + "\n" for index in range(ROWS)))
    return path


@pytest.fixture
def server() -> Iterator[WordServer]:
    """A server in good health."""
    with WordServer() as running:
        yield running


def options(server: WordServer, prompts: Path, *more: object) -> list[object]:
    """A run on the server, committed five times a second."""
    common: list[object] = ["--engine", "endpoint", "--model", MODEL, "--endpoint-url", server.url]
    return [*common, "--prompts", prompts, "--checkpoint-seconds", 0.2, *more]


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Until it holds, or the process has ended."""
    limit = time.monotonic() + 120
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit, "waited two minutes in vain"
        time.sleep(0.01)


def wait_for_more(folder: Path, seen: dict[tuple[int, int], str], process: Process) -> None:
    """Until more rows than these are committed."""
    wait_until(lambda: len(rows_of(folder)) > len(seen), process)


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_kills_lose_and_double_nothing(tmp_path: Path, prompts: Path, server: WordServer, kills: int) -> None:
    """Killed once or again and again, the run ends in the dataset of a calm one, byte for byte, card included."""
    chance = random.Random(5)
    server.seconds = 0.1
    slow = options(server, prompts, "--endpoint-concurrency", 3)
    seen: dict[tuple[int, int], str] = {}
    for _ in range(kills):
        process = start(*slow, cwd=tmp_path)
        wait_for_more(tmp_path, seen, process)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        said, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"the run was complete: make it longer\n{said}"
        now = rows_of(tmp_path)
        assert {key: now[key] for key in seen} == seen
        seen = now
    server.seconds = 0.0
    asked = len(server.texts)
    finished = build_dataset(*options(server, prompts), cwd=tmp_path)
    assert finished.code == 0, finished.said
    assert f"Going on: {len(seen)} of {ROWS} rows were already done." in finished.said
    assert len(server.texts) - asked == ROWS - len(seen), "only the rows that were missing were asked for"
    calm = build_dataset(*options(server, prompts), "--data-dir", "calm", cwd=tmp_path)
    assert calm.code == 0, calm.said
    killed_run, calm_run = only_run(tmp_path / "data"), only_run(tmp_path / "calm")
    assert dataset_table(killed_run)["prompt"].to_pylist() == [f"prompt number {index}" for index in range(ROWS)]
    assert [path.read_bytes() for path in parquet_files(killed_run)] == [
        path.read_bytes() for path in parquet_files(calm_run)
    ]
    assert (killed_run / "dataset" / "README.md").read_bytes() == (calm_run / "dataset" / "README.md").read_bytes()


def test_a_signal_keeps_the_finished_rows(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """It ends with 75 without waiting for requests that take long, and what had finished is committed."""
    server.seconds = 0.05
    process = start(*options(server, prompts, "--checkpoint-seconds", 3600, "--endpoint-concurrency", 4), cwd=tmp_path)
    wait_until(lambda: len(server.texts) > 20, process)
    server.seconds = 3600.0
    wait_until(lambda: server.at_once >= 4, process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "Traceback" not in said
    assert len(rows_of(tmp_path)) >= 16


def test_a_server_that_is_gone_ends_the_run_with_75(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """The same command goes on once it is back, on another port if need be; FillShards on a node does as well."""
    server.seconds = 0.03
    patience = ("--endpoint-patience", "1s", "--endpoint-concurrency", 4)
    process = start(*options(server, prompts, *patience), cwd=tmp_path)
    wait_until(lambda: len(server.texts) > 40, process)
    server.stop()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "No server has given a good answer" in said
    assert "Traceback" not in said
    kept = rows_of(tmp_path)
    assert 30 <= len(kept) < ROWS
    run = only_run(tmp_path / "data")
    with WordServer() as other:
        filling = [sys.executable, "-m", "luigi", "--module", "workflows", "FillShards", "--local-scheduler"]
        named = ["--run-dir", str(run), "--endpoint-url", other.url]
        filled = run_command([*filling, *named], cwd=tmp_path)
        assert filled.returncode == 0, filled.stderr
        assert len(rows_of(tmp_path)) == ROWS
        assert len(other.texts) == ROWS - len(kept)
        finished = build_dataset(*options(other, prompts), cwd=tmp_path)
    assert finished.code == 0, finished.said
    assert dataset_table(run)["finish_reason"].to_pylist().count("error") == 0


def test_a_run_stops_at_its_price(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """What is under way is waited for, as it is paid for; the status tells the cost; a higher limit goes on."""
    server.seconds = 0.02
    priced = options(server, prompts, "--price-in", 1000, "--price-out", 2000, "--endpoint-concurrency", 4)
    stopped = build_dataset(*priced, "--max-cost", 1.5, cwd=tmp_path)
    assert stopped.code == 75, stopped.said
    assert "--max-cost is 1.5" in stopped.said
    run = RunFolder(only_run(tmp_path / "data"))
    kept = rows_of(tmp_path)
    assert len(server.texts) == len(kept)
    tokens = sum(3 * 1000 + 2000 * len(text.split()) for text in kept.values()) / 1_000_000
    assert 1.5 <= tokens < 1.5 + 4 * (3 * 1000 + 16 * 2000) / 1_000_000
    assert read_status(run).cost == pytest.approx(tokens, rel=0.2)  # rows of a shard that is not done are estimated
    finished = build_dataset(*priced, "--max-cost", 1000, cwd=tmp_path)
    assert finished.code == 0, finished.said
    table = dataset_table(run.path)
    cost = sum(table["prompt_tokens"].to_pylist()) / 1000 + sum(table["completion_tokens"].to_pylist()) / 500
    assert read_status(run).cost == pytest.approx(cost)
    assert f"{cost:,.2f}" in run.report.read_text()


def test_an_outage_a_rate_limit_and_a_restart_cost_no_row(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """All rows are there, none twice and none as an error, and the cost is that of the tokens that were counted."""
    server.seconds = 0.02
    server.behave = BadDay(outage=range(40, 51), limit=range(90, 96))
    priced = options(server, prompts, "--limit", 200, "--price-in", 1000, "--price-out", 2000)
    process = start(*priced, "--endpoint-concurrency", 4, cwd=tmp_path)
    wait_until(lambda: len(server.texts) > 150, process)
    server.stop()
    server.start()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    run = RunFolder(only_run(tmp_path / "data"))
    table = dataset_table(run.path)
    assert table["prompt"].to_pylist() == [f"prompt number {index}" for index in range(200)]
    assert set(table["finish_reason"].to_pylist()) <= {"stop", "length"}
    assert len(list(committed(run.path))) == len(rows_of(tmp_path)) == 200
    tokens = sum(len(response.split()) for response in table["response"].to_pylist())
    assert read_status(run).cost == pytest.approx((200 * 3 * 1000 + tokens * 2000) / 1_000_000)


def test_tokens_that_nobody_counted_are_null(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """In the dataset; card and report say so, and are written all the same."""
    server.usage = False
    done = build_dataset(*options(server, prompts, "--limit", 20), cwd=tmp_path)
    assert done.code == 0, done.said
    assert "report or the card's picture is missing" not in done.said
    run = only_run(tmp_path / "data")
    table = dataset_table(run)
    assert table["completion_tokens"].null_count == table["revision"].null_count == 20
    card = (run / "dataset" / "README.md").read_text()
    assert "The tokens of 20 rows nobody counted." in card
    assert "| tokens | not counted |" in card
    assert "lengths.png" not in card
    assert "nobody counted them" in (run / "report.html").read_text()


def test_no_torch_is_imported_to_ask_a_server(tmp_path: Path, prompts: Path, server: WordServer) -> None:
    """A login node or a laptop without one can run it: generating takes two seconds less, too."""
    given = [str(option) for option in options(server, prompts, "--limit", 4)]
    code = (
        "import sys, luigi\n"
        "from workflows import AssembleDataset\n"
        "AssembleDataset.write_report = staticmethod(lambda run: None)\n"
        f"luigi.run(['--module', 'workflows', 'BuildDataset', '--local-scheduler', *{given!r}])\n"
        "print(*sorted({'torch', 'transformers', 'bitsandbytes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "The dataset is complete: 4 rows" in done.stderr
    assert done.stdout.strip() == ""


FITTING = {"engine": "endpoint", "model": MODEL, "endpoint_url": "http://n1:1"}
UNFIT = [
    ({"quantization": "4bit"}, "--quantization"),
    ({"dtype": "float16"}, "--dtype"),
    ({"revision": "main"}, "--revision"),
    ({"device_map": "auto"}, "--device-map"),
    ({"offload": "disk"}, "--offload"),
    ({"max_memory": "10GiB"}, "--max-memory"),
    ({"gpus_per_copy": "2"}, "--gpus-per-copy"),
    ({"batch_size": "4"}, "--batch-size"),
    ({"allow_pickle": "true"}, "--allow-pickle"),
    ({"endpoint_url": "[]"}, "where the server is"),
    ({"endpoint_api": "responses"}, "--endpoint-api"),
    ({"endpoint_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
    ({"endpoint_key_header": "api-key"}, "no key is named"),
    ({"endpoint_concurrency": "0"}, "--endpoint-concurrency"),
    ({"max_cost": "1"}, "--max-cost needs a price"),
    ({"price_in": "-1"}, "--price-in"),
]
OF_SERVERS = {
    "endpoint_url": "http://n:1",
    "endpoint_key_env": "KEY",
    "endpoint_key_header": "api-key",
    "endpoint_concurrency": "3",
    "endpoint_timeout": "3s",
    "endpoint_patience": "3s",
    "endpoint_api": "chat",
    "price_in": "1",
    "price_out": "1",
    "max_cost": "1",
}
TYPED = {"endpoint_url": '["http://n1:1", "http://n2:1"]', "endpoint_patience": "60s", "price_in": "0.5"}


def test_options_that_do_not_fit_the_engine_are_refused(prompts: Path) -> None:
    """Nothing is accepted and ignored, and an array's tasks get what was typed.

    A run begun with another engine is refused, with the difference named.
    """
    cases = [
        ({}, None),
        *UNFIT,
        *(
            ({"engine": "transformers", name: value}, f"--{name.replace('_', '-')} is")
            for name, value in OF_SERVERS.items()
        ),
    ]
    common = {"prompts": str(prompts), "data_dir": str(prompts.parent / "data")}
    asked = [
        {**common, **given, "model": "demo"} if "engine" in given else {**common, **FITTING, **given}
        for given, _ in cases
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.workflows.checking"],
        input=json.dumps(
            {
                "begun": [{**common, "name": "mine", "model": "demo"},
                          {**common, **FITTING, "name": "mine", "model": "demo", "endpoint_api": "chat"}],
                "refusals": asked,
                "handed_on": {**common, **FITTING, **TYPED},
            }
        ),
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert 'engine: "transformers" → "endpoint"' in answers["begun"]
    assert 'endpoint_api: not set → "chat"' in answers["begun"]
    for (given, says), answer in zip(cases, answers["refusals"], strict=True):
        assert answer is None if says is None else says in answer, (given, answer)
    assert set(answers["handed_on"]["arguments"]) == {"endpoint-url", "endpoint-patience", "price-in"}
    assert answers["handed_on"]["same"]
