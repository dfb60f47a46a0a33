"""A model that is an adapter in a folder: its base is found, both are pinned, and rows are those of the PEFT model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pyarrow.parquet as pq
import pytest

from promptmill.adapters import CONFIG, WEIGHTS
from promptmill.engine.loading import LoadPlan, load_model
from promptmill.engine.transformers import TransformersEngine
from promptmill.errors import ConfigurationError, EngineError
from promptmill.model import have_model
from promptmill.placing.checkpoint import inspect_model
from promptmill.placing.shape import skeleton_of
from tests.adapters.making import LAYERS, greedy_tokens, save_adapter, save_base
from tests.command import build_dataset
from tests.engine.tiny import greedy, requests, run, tiny_model

PROMPTS = ["abc", "a longer prompt", "x"]
KINDS = {
    "lora": lambda: peft.LoraConfig(r=4, target_modules=LAYERS, task_type="CAUSAL_LM"),
    "dora": lambda: peft.LoraConfig(r=4, target_modules=LAYERS, use_dora=True),
    "saved head": lambda: peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "ia3": lambda: peft.IA3Config(target_modules=LAYERS, feedforward_modules=["down_proj"]),
    "loha": lambda: peft.LoHaConfig(r=4, target_modules=LAYERS),
    "lokr": lambda: peft.LoKrConfig(r=4, target_modules=LAYERS),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole tiny model."""
    return save_base(tmp_path_factory.mktemp("models") / "base")


def engine_texts(plan: LoadPlan) -> list[str]:
    """What the engine generates greedily for each prompt, without the characters that were not ended."""
    loaded = load_model(plan)
    engine = TransformersEngine(loaded.model, loaded.tokenizer, greedy(), batch_size=1)
    return [completion.response.rstrip("\ufffd") for completion in run(engine, requests(PROMPTS))]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run(base: Path, tmp_path: Path) -> None:
    """Rows are those of the PEFT model; base and adapter are pinned, and in the identity."""
    adapter = save_adapter(tmp_path / "adapter", base)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in PROMPTS))
    options = ("--model", "./adapter", "--prompts", "p.jsonl", "--temperature", 0, "--max-new-tokens", 8)
    outcome = build_dataset(*options, "--dtype", "float32", cwd=tmp_path)
    assert outcome.code == 0, outcome.said
    (folder,) = (tmp_path / "data" / "runs").iterdir()
    pinned, identity = (json.loads((folder / name).read_text()) for name in ("model.json", "identity.json"))
    assert (pinned["folder"], pinned["base"]["folder"]) == (str(adapter), str(base))
    assert (identity["revision"], identity["base"]) == (pinned["revision"], pinned["base"]["revision"])
    (table,) = (folder / "dataset" / "data").glob("*.parquet")
    assert pq.read_table(table).num_rows == len(PROMPTS)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_peft_model(base: Path, tmp_path: Path, kind: str) -> None:
    """Greedy tokens are those of peft's own model, and not the base's."""
    adapter = save_adapter(tmp_path / kind, base, KINDS[kind]())
    wrapped = peft.PeftModel.from_pretrained(tiny_model(), str(adapter))
    loaded = load_model(LoadPlan(str(base), "float32", adapter=str(adapter)))
    assert type(loaded.model) is type(tiny_model())
    for prompt in PROMPTS:
        tokens = greedy_tokens(loaded.model, prompt)
        assert tokens == greedy_tokens(wrapped, prompt) != greedy_tokens(tiny_model(), prompt)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_quantised_base(base: Path, tmp_path: Path, bits: str) -> None:
    """The base is quantised and kept so; the adapter's part is computed beside it, at each start the same."""
    adapter = save_adapter(tmp_path / "adapter", base)
    plan = LoadPlan(str(base), "float32", bits, adapter=str(adapter), stored=str(tmp_path / "stored"))
    loaded = load_model(plan)
    tokens = [greedy_tokens(loaded.model, prompt) for prompt in PROMPTS]
    load_model.cache_clear()
    plain = load_model(LoadPlan(str(base), "float32", bits, stored=str(tmp_path / "stored")))
    assert plain.from_store
    assert [greedy_tokens(plain.model, prompt) for prompt in PROMPTS] != tokens
    wrapped = peft.PeftModel.from_pretrained(plain.model, str(adapter))
    assert [greedy_tokens(wrapped, prompt) for prompt in PROMPTS] == tokens
    if bits == "4bit":  # rows of 8-bit layers depend on what else is in a pass
        texts = [loaded.tokenizer.decode(one, skip_special_tokens=True).rstrip("\ufffd") for one in tokens]
        assert engine_texts(plan) == texts


def test_memory_is_counted(base: Path, tmp_path: Path) -> None:
    """The adapter's values come on top of the base's, four bytes each."""
    adapter = save_adapter(tmp_path / "adapter", base)
    checkpoint = inspect_model(have_model(str(adapter), None, tmp_path / "data"))
    skeleton = skeleton_of(str(checkpoint.folder))
    values = 2 * 4 * ((32 + 32) + (32 + 16) + (48 + 32))
    assert skeleton.stored(checkpoint).buffer_bytes - skeleton.shape.buffer_bytes == 4 * values


def change(folder: Path, **values: Any) -> None:
    """Change an adapter's config; None takes a key out."""
    config = {**json.loads((folder / CONFIG).read_text()), **values}
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": "/gone/base"}, "'/gone/base' as its base model"),
        ({"base_model_name_or_path": "a b c"}, "'a b c' as its base model"),
        ({"peft_type": "PROMPT_TUNING"}, "of peft_type PROMPT_TUNING"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
        ({"megatron_config": {"a": 1}}, "sets megatron_config"),
    ],
)
def test_a_config_that_cannot_be_used(base: Path, tmp_path: Path, values: dict[str, Any], said: str) -> None:
    """Is refused before anything is loaded, in a sentence."""
    adapter = save_adapter(tmp_path / "adapter", base)
    change(adapter, **values)
    with pytest.raises(ConfigurationError, match=said):
        have_model(str(adapter), None, tmp_path / "data")


def test_an_adapter_without_weights(base: Path, tmp_path: Path) -> None:
    """A copy that is not whole is refused."""
    adapter = save_adapter(tmp_path / "adapter", base)
    (adapter / WEIGHTS).unlink()
    with pytest.raises(EngineError, match="Copy the whole adapter again"):
        have_model(str(adapter), None, tmp_path / "data")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"r": 8}, "size mismatch"),
        ({"target_modules": ["nowhere"]}, "nowhere"),
        ({"target_modules": ["q_proj"]}, "no place for"),
        ({"target_modules": [*LAYERS, "o_proj"]}, "lacks"),
    ],
)
def test_weights_that_do_not_fit(base: Path, tmp_path: Path, values: dict[str, Any], said: str) -> None:
    """peft leaves out what has no place, and fills what is missing with the first values of a training."""
    adapter = save_adapter(tmp_path / "adapter", base)
    change(adapter, **values)
    with pytest.raises(EngineError, match=said):
        load_model(LoadPlan(str(base), "float32", adapter=str(adapter)))
