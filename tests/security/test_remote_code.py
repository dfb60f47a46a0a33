"""Python code that comes with a model: off, and where it is on, in the fingerprint and in the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptmill.chat.opening import open_model
from promptmill.chat.settings import ChatSettings
from promptmill.engine.loading import LoadPlan, load_model, load_tokenizer
from promptmill.errors import ConfigurationError, EngineError
from promptmill.fitting.sources import read_source
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.options import PlacementOptions
from promptmill.placing.shape import skeleton_of
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings, differences, run_name
from tests.command import build_dataset
from tests.hub import HubServer
from tests.security.conftest import name_code

TOKEN = "hf_alice"
FOREIGN = {"AutoModelForCausalLM": "somebody/else--modeling.Model"}


def chat_with(model: Path, data: Path, *, trusted: bool) -> ChatSettings:
    """What `promptmill chat` asks for."""
    return ChatSettings(
        str(model), None, data, "float32", "8bit", PlacementOptions(), SamplingParameters(), 0, None, False, trusted
    )


@pytest.mark.parametrize(
    "load", [skeleton_of, lambda folder: load_model(LoadPlan(folder, "float32"))], ids=["skeleton", "model"]
)
def test_code_is_never_run_without_leave(coded: Path, trace: Path, monkeypatch: pytest.MonkeyPatch, load) -> None:
    """Not even where transformers would ask at a terminal, and somebody types y."""
    monkeypatch.setattr("builtins.input", lambda _: "y")
    with pytest.raises(ConfigurationError, match=r"modeling_shouting.ShoutingModel.*--trust-remote-code"):
        load(str(coded))
    assert not trace.exists()


def test_a_tokenizers_code_is_not_run_either(
    coded: Path, trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named in a file of its own."""
    monkeypatch.setattr("builtins.input", lambda _: "y")
    path = coded / "tokenizer_config.json"
    own = {"auto_map": {"AutoTokenizer": ["modeling_shouting.Slow", None]}, "tokenizer_class": "Slow"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    with pytest.raises(ConfigurationError, match=r"modeling_shouting\.Slow.*--trust-remote-code"):
        load_tokenizer(str(coded))
    assert not trace.exists()


def test_a_hub_models_code_is_fetched_and_run_only_with_leave(
    hub: HubServer, coded: Path, trace: Path, tmp_path: Path
) -> None:
    """Refused, without a Python file on this disk; with leave record, card and report say that code was run."""
    hub.add_user("alice", token=TOKEN)
    hub.add_model("shouting", coded)
    environment = hub.environment(tmp_path / "home", token=TOKEN)
    options = ("--model", "shouting", "--temperature", 0, "--max-new-tokens", 3, "--limit", 2)
    refused = build_dataset(*options, cwd=tmp_path, env=environment)
    assert refused.code == 78, refused.said
    assert "--trust-remote-code" in refused.said
    assert "Traceback" not in refused.said
    assert not trace.exists()
    assert not list((tmp_path / "home").rglob("modeling_*.py"))

    allowed = build_dataset(*options, "--trust-remote-code", "--name", "a", cwd=tmp_path, env=environment)
    assert allowed.code == 0, allowed.said
    assert trace.exists()
    run = tmp_path / "data" / "runs" / "a"
    assert json.loads((run / "run.json").read_text())["settings"]["trust_remote_code"] is True
    card = (run / "dataset" / "README.md").read_text()
    assert "| code of the model | run, as of that revision |" in card
    assert "\n    --trust-remote-code \\\n" in card
    assert "code of the model" in (run / "report.html").read_text()
    assert {"configuration_shouting.py", "modeling_shouting.py"} <= json.loads((run / "model.json").read_text())[
        "files"
    ].keys()


def settings(**changes: object) -> RunSettings:
    """Settings of some run."""
    given = {
        "model": "m", "revision": None, "prompts_sha256": "0", "prompt_column": None, "template": None,
        "system_prompt": None, "limit": None, "samples_per_prompt": 1, "sampling": SamplingParameters(), "seed": 0,
        "dtype": "float32", "quantization": "none", "engine": "transformers",
    }  # fmt: skip
    return RunSettings(**{**given, **changes})  # type: ignore[arg-type]


def test_runs_from_before_the_option_keep_their_names() -> None:
    """Off it is as if it were not there; on it makes another run; a record without it is read."""
    off, on = settings(), settings(trust_remote_code=True)
    assert "trust_remote_code" not in off.to_json()
    assert RunSettings.from_json(off.to_json()) == off
    assert RunSettings.from_json(on.to_json()) == on
    assert run_name(off, "p") != run_name(on, "p")
    assert differences(on, off) == ["trust_remote_code: true → false"]


def test_a_chat_obeys_too_and_keeps_the_weights_of_code_apart(coded: Path, trace: Path, tmp_path: Path) -> None:
    """Refused; then loaded and quantised; the second time read from what was kept."""
    data = tmp_path / "data"
    with pytest.raises(ConfigurationError, match="--trust-remote-code"):
        open_model(chat_with(coded, data, trusted=False))
    assert not trace.exists()
    for from_store in (False, True):
        load_model.cache_clear()
        opened = open_model(chat_with(coded, data, trusted=True))
        assert type(opened.loaded.model).__name__ == "ShoutingModel"
        assert opened.loaded.from_store is from_store
    (kept,) = (data / "models" / "quantized").iterdir()
    assert kept.name.endswith("-8bit-float32-code")


def test_fit_runs_no_code_and_says_so(coded: Path, trace: Path) -> None:
    """It only reads sizes, and says what a run would need."""
    note = read_source(str(coded)).note
    assert note is not None
    assert "--trust-remote-code" in note
    assert not trace.exists()


def test_code_of_another_repository_is_refused(coded: Path) -> None:
    """No revision of the model says which code that would be."""
    name_code(coded, FOREIGN)
    with pytest.raises(ConfigurationError, match=r"another repository.*put modeling\.py of somebody/else beside it"):
        inspect_checkpoint(coded, remote_code=True)


def test_code_that_fails_is_named(coded: Path) -> None:
    """Whatever it raises is one sentence."""
    (coded / "modeling_shouting.py").write_text("raise AttributeError('of all things')\n")
    with pytest.raises(EngineError, match=r"Python code that comes with the model.*AttributeError: of all things"):
        skeleton_of(coded, remote_code=True)
