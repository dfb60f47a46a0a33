"""No pickle is loaded, wherever one is put: it would run code.

That a whole run loads none is seen in tests/chaos/test_bad_names.py, where Python tells of every class looked up.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill.assemble import assemble, lay_out, recorded_dataset
from promptmill.engine.loading import LoadPlan, load_model, load_tokenizer
from promptmill.errors import PromptmillError
from promptmill.files import sha256_of
from promptmill.fitting.sources import read_source
from promptmill.model import have_model, recorded_model
from promptmill.placement import recorded_placement
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.stored import is_stored
from promptmill.plan import recorded_manifest
from promptmill.production import shard_is_complete
from promptmill.prompts import PromptOptions, prepare_prompts, prepared_table
from promptmill.report.writing import read_report
from promptmill.run import RunFolder
from promptmill.slurm.claims import read_claim
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.submission import recorded_submission
from promptmill.status.reading import read_status
from tests.report.runs import answered, life, run_of, tell

ENDINGS = ("txt", "jsonl", "json", "csv", "tsv", "parquet", "txt.gz", "jsonl.zst", "npy", "pkl", "pt", "arrow")
BESIDE_WEIGHTS = (
    "pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
    "model.pkl", "tokenizer.pkl", "vocab.pkl", "vocab.pt", "consolidated.00.pth", "tf_model.h5", "flax_model.msgpack",
)  # fmt: skip
OF_THE_MODEL = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
    "chat_template.jinja", "special_tokens_map.json", "model.safetensors.index.json", "model.gguf",
)  # fmt: skip


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._folder),)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """What the payload makes."""
    return tmp_path / "ran"


@pytest.fixture
def payload(ran: Path) -> bytes:
    """A pickle that makes it."""
    return pickle.dumps(Payload(ran))


def test_the_payload_works(payload: bytes, ran: Path) -> None:
    """Else these tests would show nothing."""
    pickle.loads(payload)
    assert ran.is_dir()


@pytest.mark.parametrize("ending", ENDINGS)
def test_not_from_prompts(ending: str, payload: bytes, ran: Path, tmp_path: Path) -> None:
    """By any ending."""
    path = tmp_path / f"a.{ending}"
    path.write_bytes(payload)
    with pytest.raises(PromptmillError):
        prepare_prompts(PromptOptions(str(path)), tmp_path / "out.parquet")
    assert not ran.exists()


def test_not_from_what_parquet_says_of_its_columns(payload: bytes, ran: Path, tmp_path: Path) -> None:
    """An extension type of Python's is a pickle in the schema, which pyarrow once loaded (CVE-2023-47248)."""
    extension = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}
    schema = pa.schema(
        [pa.field("prompt", pa.string(), metadata=extension), pa.field("blob", pa.binary())],
        metadata={"pandas": payload, "huggingface": payload},
    )
    source, target = tmp_path / "a.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"prompt": ["a"], "blob": [payload]}, schema=schema), source)
    prepare_prompts(PromptOptions(str(source)), target)
    assert prepared_table(target, 0, 1)["prompt"].to_pylist() == ["a"]
    assert not ran.exists()


def use_model(folder: Path, data: Path) -> None:
    """All that promptmill does with a model's folder."""
    steps: tuple[Callable[[], object], ...] = (
        lambda: have_model(str(folder), None, data),
        lambda: inspect_checkpoint(folder),
        lambda: read_source(str(folder)),
        lambda: load_tokenizer(str(folder)),
        lambda: load_model(LoadPlan(str(folder), "float32")),
        lambda: load_model(LoadPlan(str(folder), "float32", "8bit", stored=str(folder))),
        lambda: is_stored(folder),
    )
    load_model.cache_clear()
    for step in steps:
        with suppress(PromptmillError):
            step()


@pytest.mark.parametrize("weights", ["with safetensors", "without"])
def test_not_from_beside_a_models_weights(
    weights: str, tiny_gpt2: Path, payload: bytes, ran: Path, tmp_path: Path
) -> None:
    """Adapters, optimizers, other formats: all at once."""
    left_out = () if weights == "with safetensors" else ("*.safetensors",)
    folder = tmp_path / "model"
    shutil.copytree(tiny_gpt2, folder, ignore=shutil.ignore_patterns(*left_out))
    for name in BESIDE_WEIGHTS:
        (folder / name).write_bytes(payload)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": null, "peft_type": "LORA"}')
    use_model(folder, tmp_path / "data")
    assert not ran.exists()


@pytest.mark.parametrize("name", OF_THE_MODEL)
def test_not_in_place_of_a_models_file(name: str, tiny_gpt2: Path, payload: bytes, ran: Path, tmp_path: Path) -> None:
    """Each file that is read."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_gpt2, folder)
    (folder / name).write_bytes(payload)
    use_model(folder, tmp_path / "data")
    assert not ran.exists()


def use_run(run: RunFolder) -> None:
    """All that reads a run."""
    slurm = SlurmFolder.of(run)
    steps: tuple[Callable[[], object], ...] = (
        lambda: run.settings,
        lambda: recorded_model(run.model),
        lambda: recorded_manifest(run),
        lambda: prepared_table(run.prompts_table, 0, 2),
        lambda: shard_is_complete(run, 0),
        lambda: recorded_placement(run, _cpu()),
        lambda: read_status(run),
        lambda: lay_out(run, recorded_manifest(run), [0]),
        lambda: read_report(run),
        lambda: recorded_dataset(run),
        lambda: read_claim(slurm, 0),
        lambda: recorded_submission(run),
    )
    for step in steps:
        with suppress(Exception):  # damaged files are another test's; here nothing may run
            step()


def _cpu() -> object:
    from promptmill.hardware import detect_hardware

    return detect_hardware()


def test_not_from_a_data_folder(payload: bytes, ran: Path, tmp_path: Path) -> None:
    """In place of each file of a run, chunks under the name of their own digest; and of those that it does not have."""
    run = run_of(tmp_path, answered("one", "two"), whole=True)
    tell(run, "host-1", life("host", 0, 100, rate=5, end="done"))
    assemble(run)
    slurm = SlurmFolder.of(run)
    extra = (
        run.auth,
        run.published,
        slurm.claim(0),
        slurm.submission,
        run.progress / "host-1.json",
        run.placement("cpu"),
    )
    files = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert len(files) > 9
    for path in (*files, *extra):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
        if path.name.startswith("chunk-"):
            path.rename(path.with_name(f"chunk-000001-{sha256_of(path)[:16]}.parquet"))
        use_run(run)
        assert not ran.exists(), path
        for original, content in files.items():
            original.write_bytes(content)
