"""The main job with a Hub: model from it, prompts from it, dataset to it, all through the command line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.command import Outcome, build_dataset, dataset_table, only_run
from tests.forkserver import run_command
from tests.hub import HubServer

TOKEN = "hf_alice"
REPO = "alice/my-dataset"
# In a process of its own: the libraries read where the Hub is when they are imported.
READ_BACK = (
    "import json, sys, datasets; "
    "print(json.dumps(datasets.load_dataset(sys.argv[1], split='train').to_list(), ensure_ascii=False))"
)


@pytest.fixture
def environment(hub: HubServer, tiny_gpt2: Path, tmp_path: Path) -> dict[str, str]:
    """A hub with the model `gpt2` and the user alice, as the environment of her processes."""
    hub.add_user("alice", token=TOKEN)
    hub.add_model("gpt2", tiny_gpt2)
    return hub.environment(tmp_path / "home", token=TOKEN)


def build(environment: dict[str, str], folder: Path, *options: object) -> Outcome:
    """A short run of the Hub's model that is published."""
    common = ("--model", "gpt2", "--publish-to", REPO, "--max-new-tokens", 6, "--limit", 5)
    return build_dataset(*common, *options, cwd=folder, env=environment)


def read_back(environment: dict[str, str], repo: str) -> list[dict[str, object]]:
    """The rows of a dataset on the hub, through `datasets.load_dataset`."""
    command = [sys.executable, "-c", READ_BACK, repo]
    done = run_command(command, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


def test_a_model_of_the_hub_becomes_a_dataset_on_the_hub(
    hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """`load_dataset` reads back the very rows that are on disk; a second run looks, and changes nothing."""
    outcome = build(environment, tmp_path)
    assert outcome.code == 0, outcome.said
    run = only_run(tmp_path / "data")
    assert read_back(environment, REPO) == dataset_table(run).to_pylist()
    published = json.loads((run / "published.json").read_text())
    assert published["commit"] == hub.commits(REPO, kind="dataset")[0].oid
    assert f"It is published at {hub.url}/datasets/{REPO}, commit {published['commit']}" in outcome.said

    asked = len(hub.requests)
    again = build(environment, tmp_path)
    assert again.code == 0, again.said
    assert {request.method for request in hub.requests[asked:]} == {"GET"}
    assert f"It is published at {hub.url}/datasets/{REPO}, commit {published['commit']}" in again.said


def test_prompts_may_come_from_a_dataset_of_the_hub(
    hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """`--prompts OWNER/NAME:SPLIT` reads the prompts and the columns that come with them."""
    lines = "".join(json.dumps({"prompt": f"prompt {index}", "topic": f"t{index}"}) + "\n" for index in range(8))
    hub.add_dataset("alice/prompts", {"train.jsonl": lines})
    outcome = build(environment, tmp_path, "--prompts", "alice/prompts:train")
    assert outcome.code == 0, outcome.said
    rows = read_back(environment, REPO)
    assert [(row["prompt"], row["topic"]) for row in rows] == [(f"prompt {index}", f"t{index}") for index in range(5)]
