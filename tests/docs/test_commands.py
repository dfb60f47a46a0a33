"""Every command of the documents runs: on the demo model, on small models of a local Hub, on a real Slurm."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.docs.commands import Block, blocks_of, loose_commands
from tests.docs.test_documents import ROOT
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer
from tests.hub import HubServer
from tests.slurm.cluster import Cluster

TOKEN = "hf_me"
CHAT_MODELS = ("Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-2-7b-chat-hf")
OF_OTHERS = ("No space left", "Disk quota", "CUDA out of memory")
A_RUN = "luigi --module workflows BuildDataset --model gpt2 --name NAME --limit 2 --max-new-tokens 4 --local-scheduler"
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])
ALWAYS_RUN = (ROOT / "README.md",)
WITH_COMMANDS = [document for document in DOCUMENTS if any(block.runs for block in blocks_of(document))]
WITH_SLURM = [document for document in DOCUMENTS if any(block.needs_slurm for block in blocks_of(document))]


def name_of(document: Path) -> str:
    """For the test's own name."""
    return str(document.relative_to(ROOT))


def _long(document: Path) -> Any:
    """Most submit in `make test-all` alone; that their command lines can be parsed is looked at always."""
    marks = () if document in ALWAYS_RUN else (pytest.mark.long,)
    return pytest.param(document, marks=marks)


@pytest.fixture
def reader(hub: HubServer, tiny_gpt2: Path, demo_folder: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who follows a document in an empty folder."""
    chat = tmp_path / "chat-model"
    torch.manual_seed(7)
    # Enough of it in linear layers to be worth quantising.
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=2048, bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(chat)
    byte_tokenizer().save_pretrained(chat)
    hub.add_user("me", token=TOKEN)
    hub.add_model("gpt2", tiny_gpt2)
    for name in CHAT_MODELS:
        hub.add_model(name, chat, gated=name.startswith("meta-llama"), granted=["me"])
    questions = "".join(json.dumps({"question": f"What is {number}?"}) + "\n" for number in range(4))
    hub.add_dataset("me/questions", {"train.jsonl": questions})
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(demo_folder.parent, target_is_directory=True)
    (folder / "prompts.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **hub.environment(tmp_path / "home", token=TOKEN), "PATH": path, "PWD": str(folder)}


def follow(block: Block, environment: dict[str, str]) -> None:
    """Run a block as it stands."""
    text = block.text.replace("--partition gpu", "--partition low")  # what the cluster of the tests has
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=environment["PWD"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == block.code, f"{block.text}\n{done.stdout}"
    assert "Traceback" not in done.stdout


@pytest.mark.demo
@pytest.mark.long
@pytest.mark.parametrize("document", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_document_run(document: Path, reader: dict[str, str]) -> None:
    """One after the other, in one folder."""
    for block in blocks_of(document):
        if block.needs_run:
            follow(Block(A_RUN, None), reader)
        if block.runs and not block.needs_slurm:
            follow(block, reader)


@pytest.mark.parametrize("document", [_long(path) for path in WITH_SLURM], ids=name_of)
def test_the_commands_for_slurm_run(document: Path, reader: dict[str, str], cluster: Cluster) -> None:
    """They submit; what the jobs do then is tested elsewhere."""
    assert shutil.which("sbatch")
    for block in blocks_of(document):
        if block.needs_slurm:
            follow(block, {**reader, **{name: value for name, value in cluster.env.items() if "SLURM" in name}})
    assert cluster.states()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_command_escapes(document: Path) -> None:
    """A comment above a block says one of few things, and commands stand in blocks."""
    for block in blocks_of(document):
        assert block.note is None or not block.runs or block.needs_slurm or block.needs_run or block.code, block.note
    assert loose_commands(document) == []


def test_messages_in_troubleshooting_are_ones_that_the_program_says() -> None:
    """Word for word, but for what differs from case to case."""
    modules = [path for name in ("promptmill", "tasks") for path in ROOT.glob(f"{name}/**/*.py")]
    sources = [path.read_text(encoding="utf-8") for path in modules]
    # Literals that follow each other are one message; placeholders are left out on both sides.
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))
    said = re.sub(r"\{[^{}\n]*\}", "…", said)
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [message for message in re.findall(r"\*\*`([^`]+)`", text) if not message.startswith(OF_OTHERS)]
    assert len(quoted) > 12
    for message in quoted:
        parts = [part.strip() for part in re.split(r"…|\d+", message)]
        assert all(part in said for part in parts), message
