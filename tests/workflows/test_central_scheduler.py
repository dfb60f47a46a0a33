"""A run with `luigid`: its page shows how far each shard is, and where the report lies."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import only_run
from tests.forkserver import start_command

ROWS = 36


class Page:
    """What the page of the scheduler asks for, and gets."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def tasks(self, status: str) -> dict[str, dict[str, Any]]:
        """The tasks in a state, by id."""
        data = json.dumps({"status": status, "upstream_status": "", "search": ""})
        url = f"http://127.0.0.1:{self.port}/api/task_list?{urllib.parse.urlencode({'data': data})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, dict[str, Any]] = json.load(answer)["response"]
        return found

    def message(self, task: str) -> dict[str, Any]:
        """Status message and percentage of a task."""
        data = urllib.parse.urlencode({"data": json.dumps({"task_id": task})})
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/api/get_task_status_message?{data}", timeout=10
        ) as answer:
            message = json.load(answer)["response"]["statusMessage"]
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/api/get_task_progress_percentage?{data}", timeout=10
        ) as answer:
            return {"message": message, "percent": json.load(answer)["response"]["progressPercentage"]}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A scheduler as the README starts it, bound to loopback."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    luigid = Path(sys.executable).with_name("luigid")
    command = [luigid, "--address", "127.0.0.1", "--port", str(port), "--state-path", tmp_path / "luigid.pickle"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        found = Page(port, process)
        try:
            _wait_until_it_answers(found)
            yield found
        finally:
            process.terminate()


def _wait_until_it_answers(page: Page) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            page.tasks("RUNNING")
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def test_the_page_shows_each_shards_progress_and_the_report(page: Page, slow_gpt2: Path, tmp_path: Path) -> None:
    """While it runs: percentage and tokens/s of the shard; at the end: where the report is."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"prompt number {index}\n" for index in range(ROWS)))
    command = [
        sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset",
        "--scheduler-host", "127.0.0.1", "--scheduler-port", page.port,
        "--model", slow_gpt2, "--prompts", prompts, "--max-new-tokens", 40, "--batch-size", 2,
    ]  # fmt: skip
    seen: list[dict[str, Any]] = []
    with start_command(
        list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while process.poll() is None:
            shards = [task for task in page.tasks("RUNNING") if task.startswith("GenerateShard")]
            seen += [page.message(task) for task in shards]
            time.sleep(0.2)
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0, said
    shown = [one for one in seen if one["message"]]
    assert shown, "a word on the page while a shard is filled"
    assert all("tokens/s" in one["message"] and "shard" in one["message"] for one in shown)
    assert any(one["percent"] is not None and 0 < one["percent"] < 100 for one in shown)
    (assembled,) = (task for name, task in page.tasks("DONE").items() if name.startswith("AssembleDataset"))
    report = only_run(tmp_path / "data") / "report.html"
    assert assembled["tracking_url"] == report.as_uri()


def test_a_scheduler_that_goes_away_ends_the_run_with_a_sentence(page: Page, slow_gpt2: Path, tmp_path: Path) -> None:
    """What was committed is kept, and the code says that the same command goes on."""
    (tmp_path / "luigi.cfg").write_text("[core]\nrpc-retry-attempts = 2\nrpc-retry-wait = 0\n")
    (tmp_path / "prompts.txt").write_text("one prompt\n" * 40)
    command = [
        sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset",
        "--scheduler-host", "127.0.0.1", "--scheduler-port", page.port,
        "--model", slow_gpt2, "--prompts", "prompts.txt", "--max-new-tokens", 60, "--batch-size", 4,
    ]  # fmt: skip
    with start_command(
        list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while process.poll() is None and not any(task.startswith("GenerateShard") for task in page.tasks("RUNNING")):
            time.sleep(0.1)
        page.process.kill()
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert f"The scheduler at http://127.0.0.1:{page.port}/ has gone." in said
    assert "Traceback" not in said
