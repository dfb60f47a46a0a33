"""A dataset from two nodes of language-pipes; one is killed in the middle. Run by `make test-language-pipes`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.command import build_dataset, dataset_table, start
from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer
from tests.examples.processes import free_ports, wait_until

HERE = Path(__file__).parent
VENV = Path(os.environ.get("PIPES_VENV", ".venv-language-pipes")).absolute()
PROMPTS = 40
HALF_GIB = 0.00016
OPTIONS = ("--max-new-tokens", 32, "--temperature", 0, "--prompts", "prompts.jsonl")
COLUMNS = ["prompt_id", "sample_index", "response", "prompt_tokens", "completion_tokens", "error"]


class Network:
    """The processes that network.sh starts."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.folder = folder
        first, second, self.port = free_ports(3)
        ports = {"PORT1": str(first), "PORT2": str(second), "PORT": str(self.port)}
        self._env = {**os.environ, **ports, "PIPES_VENV": str(VENV), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._again: subprocess.Popen[bytes] | None = None
        command = [HERE / "network.sh", model, str(HALF_GIB), folder]
        self._all = subprocess.Popen(command, env=self._env, start_new_session=True, stdout=subprocess.PIPE, text=True)
        assert self._all.stdout is not None
        assert "listens on" in self._all.stdout.readline()

    def kill_second(self) -> None:
        """SIGKILL for one node."""
        os.killpg(int((self.folder / "second.pid").read_text()), signal.SIGKILL)

    def start_second_again(self) -> None:
        """As somebody does who finds that it is gone."""
        places = {"LP_APP_DIR": str(self.folder / "second"), "LP_MODEL_DIR": str(self.folder / "models")}
        command = [VENV / "bin" / "python", HERE / "on_loopback.py", "-c", self.folder / "second.toml", "run"]
        log = self.folder / "again.log"
        with log.open("wb") as output:
            self._again = subprocess.Popen(
                command, env={**self._env, **places}, start_new_session=True, stdout=output, stderr=output
            )
        wait_until(lambda: "successfully loaded" in log.read_text(errors="replace"), "the second node")

    def end(self) -> None:
        """End both."""
        self._all.terminate()
        self._all.communicate()
        if self._again is not None:
            os.killpg(self._again.pid, signal.SIGKILL)
            self._again.wait()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 4 layers, in the format of transformers 5."""
    folder = tmp_path_factory.mktemp("model") / "tiny-llama"
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=512, bos_token_id=BOS, eos_token_id=EOS, initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def network(model: Path, tmp_path: Path) -> Iterator[Network]:
    """Two nodes."""
    running = Network(model, tmp_path / "network")
    yield running
    running.end()


def test_a_network_that_loses_a_node_makes_the_same_dataset(network: Network, tmp_path: Path) -> None:
    """Every row once, and each text as the network makes it when nothing happens."""
    prompts = [{"prompt": f"Number {number} of the things to say: "} for number in range(PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    url = f"http://127.0.0.1:{network.port}/v1"
    asked = ["--engine", "endpoint", "--endpoint-url", url, "--endpoint-api", "chat", "--model", "local/tiny-llama"]
    asked += [*OPTIONS, "--endpoint-concurrency", 4, "--endpoint-timeout", "15s"]
    calm = build_dataset(*asked, "--name", "calm", cwd=tmp_path)
    assert calm.code == 0, calm.said

    run = tmp_path / "data" / "runs" / "hit"
    hasty = ["--checkpoint-seconds", 1, "--endpoint-patience", "20s"]
    interrupted = start(*asked, *hasty, "--name", "hit", cwd=tmp_path)
    wait_until(lambda: any(run.glob("shards/*/*.parquet")) or interrupted.poll() is not None, "a committed chunk")
    network.kill_second()
    said, _ = interrupted.communicate(timeout=300)
    assert interrupted.returncode == 75, said
    assert not (run / "dataset").exists()

    network.start_second_again()
    done = build_dataset(*asked, "--endpoint-patience", "3m", "--name", "hit", cwd=tmp_path)
    assert done.code == 0, done.said
    made, expected = (
        dataset_table(tmp_path / "data" / "runs" / name).select(COLUMNS).sort_by("prompt_id").to_pylist()
        for name in ("hit", "calm")
    )
    assert len(made) == PROMPTS
    assert [row for row in made if row["error"]] == []
    assert made == expected
