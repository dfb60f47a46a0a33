"""The whole chain with the Hub through the command line: offline nodes, growing datasets, and no trace of the token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.command import Outcome, build_dataset, only_run, parquet_files
from tests.forkserver import run_command
from tests.hub import HubServer

TOKEN = "hf_alice_secret_token"
REPO = "alice/my-dataset"


@pytest.fixture
def environment(hub: HubServer, tiny_gpt2: Path, tmp_path: Path) -> dict[str, str]:
    """A hub with the model `gpt2` under an MIT licence, and alice's environment."""
    hub.add_user("alice", token=TOKEN)
    files: dict[str, Path | str] = {path.name: path for path in tiny_gpt2.iterdir()}
    hub.add_model("gpt2", {**files, "README.md": "---\nlicense: mit\n---\n# GPT-2\n"})
    return hub.environment(tmp_path / "home", token=TOKEN)


def luigi(environment: dict[str, str], folder: Path, workflow: str, *options: object) -> Outcome:
    """Another workflow than BuildDataset, on the command line."""
    command = [sys.executable, "-m", "luigi", "--module", "workflows", workflow, "--local-scheduler"]
    done = run_command(
        [*command, *map(str, options)], cwd=folder, env={**os.environ, **environment}, stderr=subprocess.STDOUT
    )
    return Outcome(done.returncode, done.stdout)


def test_a_node_without_internet_generates_and_the_login_node_does_the_rest(
    hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """PrepareModel before, PublishDataset after; the commit stays, though main moves; the token is nowhere."""
    options = ("--model", "gpt2", "--max-new-tokens", 4, "--limit", 3, "--publish-to", REPO, "--log-level", "DEBUG")
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    refused = build_dataset(*options, cwd=tmp_path, env=offline)
    assert refused.code == 69, refused.said
    assert "luigi --module workflows PrepareModel --model gpt2 --local-scheduler" in refused.said

    prepared = luigi(environment, tmp_path, "PrepareModel", "--model", "gpt2", "--log-level", "DEBUG")
    assert prepared.code == 0, prepared.said
    (record,) = (tmp_path / "data" / "models").glob("gpt2@*.json")
    commit = json.loads(record.read_text())["revision"]
    hub.commit("gpt2", {"config.json": "{}"})

    generated = build_dataset(*options, cwd=tmp_path, env=offline)
    assert generated.code == 69, generated.said
    run = only_run(tmp_path / "data")
    assert json.loads((run / "model.json").read_text())["revision"] == commit
    assert len(parquet_files(run)) == 1
    assert "The dataset is complete in" in generated.said
    command = next(line for line in generated.said.splitlines() if "luigi --module workflows PublishDataset" in line)

    published = luigi(environment, tmp_path, *command.split()[3:], "--log-level", "DEBUG")
    assert published.code == 0, published.said
    assert hub.files(REPO, kind="dataset")["data/train-00000-of-00001.parquet"] == parquet_files(run)[0].read_bytes()
    card = hub.files(REPO, kind="dataset")["README.md"].decode()
    assert "| licence of the model | mit |" in card
    said = [outcome.said for outcome in (refused, prepared, generated, published)]
    kept = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    stored = [content.decode(errors="replace") for content in hub.files(REPO, kind="dataset").values()]
    assert not [text[:200] for text in (*said, *kept, *stored) if TOKEN in text]
    assert {r.authorization for r in hub.requests if r.origin == "hub"} <= {f"Bearer {TOKEN}", None}
    assert all(TOKEN not in (r.authorization or "") for r in hub.requests if r.origin != "hub")
    assert all(TOKEN not in r.path for r in hub.requests)


def test_a_growing_dataset_says_so_until_it_is_whole(
    hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """--publish-every publishes complete shards, sends nothing twice, and the last card is that of the whole."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"prompt number {number}\n" for number in range(3 * 128)))
    about = ("--license", "cc-by-4.0", "--pretty-name", "A | title", "--tags", '["one", "two"]')
    options = ("--model", "gpt2", "--prompts", prompts, "--max-new-tokens", 2, "--publish-to", REPO)
    outcome = build_dataset(*options, *about, "--publish-every", 1, cwd=tmp_path, env=environment)
    assert outcome.code == 0, outcome.said
    run = only_run(tmp_path / "data")
    cards = [
        commit.files["README.md"].content.read().decode()
        for commit in hub.commits(REPO, kind="dataset")
        if "README.md" in commit.files
    ]
    growing = [f"**growing**: {128 * done} of 384 rows, {done} of 3 files" for done in (2, 1)]
    assert [text in card for text, card in zip(growing, cards[1:], strict=True)] == [True, True]
    assert "growing" not in cards[0]
    assert "# A \\| title" in cards[0]
    told = yaml.safe_load(cards[0].split("---\n")[1])
    assert (told["license"], told["tags"]) == ("cc-by-4.0", ["synthetic", "promptmill", "one", "two"])
    assert told["dataset_info"]["splits"][0]["num_examples"] == 384
    data = {path.name: path.read_bytes() for path in parquet_files(run)}
    there = hub.files(REPO, kind="dataset")
    assert {name: there[f"data/{name}"] for name in data} == data
    assert hub.uploaded() < sum(map(len, data.values())) + 3 * 20_000
    assert str(tmp_path) not in cards[0]
