"""The dataset that is laid out of prompts and shards."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from promptmill.assemble import assemble, recorded_dataset
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.model import recorded_model
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.run import RunFolder
from tests.command import dataset_table, parquet_files
from tests.fakes import StubEngine, begun_run

PROMPTS = 300


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 300 prompts and two samples each, in four shards, all filled in the wrong order."""
    source = tmp_path / "prompts.jsonl"
    rows = ({"prompt": f"prompt {index}", "topic": {"number": index}, "seed": -index} for index in range(PROMPTS))
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = begun_run(tmp_path / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=2)
    for shard in reversed(range(len(recorded_manifest(run).shards))):
        fill(run, shard)
    return run


def fill(run: RunFolder, shard: int) -> StubEngine:
    """Fill one shard with the stub engine."""
    manifest, engine = recorded_manifest(run), StubEngine()
    store = shard_store(run, manifest, shard)
    form = PromptForm(chat=False, system_prompt=None, samples=2, run_seed=0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *manifest.shards[shard])))
    fill_shard(store, missing, engine, checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    return engine


def without_report(run: RunFolder) -> list[int]:
    """Assemble without the report, which is a process of its own that takes seconds."""
    return assemble(run, lambda run: None)


def test_rows_stand_in_prompt_order_with_the_users_columns(run: RunFolder) -> None:
    """Whatever order they finished in; a column of ours is not overwritten by the user's of the same name."""
    assert without_report(run) == []
    table = dataset_table(run.path)
    assert table["prompt"].to_pylist() == [f"prompt {index}" for index in range(PROMPTS) for _ in range(2)]
    assert table["sample_index"].to_pylist() == [0, 1] * PROMPTS
    assert [value["number"] for value in table["topic"].to_pylist()] == [index // 2 for index in range(2 * PROMPTS)]
    assert table["input_seed"].to_pylist() == [-(index // 2) for index in range(2 * PROMPTS)]
    answers = zip(table["seed"].to_pylist(), table["prompt"].to_pylist(), strict=True)
    assert table["response"].to_pylist() == [f"{seed:x} answers {prompt}" for seed, prompt in answers]
    assert len(set(table["seed"].to_pylist())) == 2 * PROMPTS


def test_features_of_the_source_live_on(tmp_path: Path) -> None:
    """Who loads the dataset finds names of classes, and images, under the name that the column has then."""
    features = datasets.Features(
        {
            "prompt": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "model": datasets.List(datasets.ClassLabel(names=["x", "y"])),
            "picture": datasets.Image(),
        }
    )
    rows = {
        "prompt": ["a", "b"],
        "label": [1, 0],
        "model": [[0], [1]],
        "picture": [{"bytes": b"png", "path": None}, None],
    }
    source = tmp_path / "prompts.parquet"
    pq.write_table(pa.Table.from_pydict(rows, schema=features.arrow_schema), source)
    run = begun_run(tmp_path / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=2)
    fill(run, 0)
    without_report(run)
    found = datasets.Features.from_arrow_schema(pq.read_schema(parquet_files(run.path)[0]))
    assert [found[name] for name in ("label", "picture", "input_model")] == [
        features[name] for name in ("label", "picture", "model")
    ]
    told = yaml.safe_load((run.dataset / "README.md").read_text().split("---")[1])["dataset_info"]["features"]
    (label,) = (feature["dtype"]["class_label"] for feature in told if feature["name"] == "label")
    assert label == {"names": {"0": "bad", "1": "good"}}


def test_files_are_named_as_the_hub_expects_and_proven_by_the_manifest(run: RunFolder) -> None:
    """Four shards, four Parquet files in zstd, and the counts of all."""
    without_report(run)
    manifest = recorded_dataset(run)
    assert manifest is not None
    assert [path.name for path in parquet_files(run.path)] == [
        f"train-{shard:05d}-of-00004.parquet" for shard in range(4)
    ]
    assert sum(file.rows for file in manifest.files.values()) == manifest.counts.rows == 2 * PROMPTS
    assert pq.ParquetFile(parquet_files(run.path)[0]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_assembling_again_gives_the_same_bytes_and_removes_what_does_not_belong(run: RunFolder) -> None:
    """A file of an earlier attempt with another number of shards would be loaded with the others."""
    without_report(run)
    before = [path.read_bytes() for path in parquet_files(run.path)]
    (run.dataset / "data" / "train-00000-of-00009.parquet").write_bytes(b"stale")
    without_report(run)
    assert [path.read_bytes() for path in parquet_files(run.path)] == before


def test_a_dataset_that_lost_a_file_is_not_complete(run: RunFolder) -> None:
    """The manifest alone proves nothing once a file is gone or cut."""
    without_report(run)
    victim = parquet_files(run.path)[2]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert recorded_dataset(run) is None


def test_only_the_rows_of_a_damaged_chunk_are_made_again(run: RunFolder) -> None:
    """The shard is named, and after it was filled again the dataset is what it was."""
    without_report(run)
    good = dataset_table(run.path)
    (chunk,) = run.path.glob("shards/00002/chunk-*.parquet")
    chunk.write_bytes(chunk.read_bytes()[:-7])
    assert without_report(run) == [2]
    assert len(fill(run, 2).generated) == recorded_manifest(run).shard_rows(2)
    assert without_report(run) == []
    assert dataset_table(run.path).equals(good)


def test_the_card_fails_for_no_file_of_the_model(run: RunFolder) -> None:
    """One that was damaged since the rows were made; it was read before."""
    pinned = recorded_model(run.model)
    assert pinned is not None
    (Path(pinned.folder) / "generation_config.json").write_text("{")
    assert without_report(run) == []
    assert recorded_dataset(run) is not None
