"""What of the vllm engine can be tested without vLLM; `make test-vllm` tests the rest."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from promptmill.doctor.packages import judged_vllm
from promptmill.errors import ConfigurationError, EngineError
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.decision import Arithmetic, Decision, Kind
from promptmill.placing.memory import GIB
from promptmill.placing.options import PlacementOptions
from promptmill.sampling import SamplingParameters
from promptmill.settings import differences
from promptmill.vllm import installed
from promptmill.vllm.files import model_files_alone
from promptmill.vllm.plan import VllmPlan, cpu_cache_bytes, decide_for_vllm
from promptmill.vllm.reason import said_by
from promptmill.vllm.sampling import require_same_choice, sampling_arguments
from promptmill.vllm.unsound import UnsoundRows, tensors_with_nan
from tests.command import build_dataset
from tests.engine.tiny import tiny_model
from tests.test_settings import settings

PLAN = VllmPlan("models/m", "bfloat16", "none", gpus=2, memory_share=0.9, cache_bytes=None)
SUMS = Arithmetic(8 * 10**9, 15 * GIB, 1000, 10**6, 600, GIB, GIB, (20 * GIB,), (16 * GIB,))


def arguments(sampling: SamplingParameters) -> dict[str, Any]:
    """What vLLM is told for one row."""
    return sampling_arguments(sampling, seed=7, limit=5, ends=[2])


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.5), ("top_p", 0.5), ("top_k", 5), ("min_p", 0.5), ("repetition_penalty", 1.5), ("stop", ("a",))],
)
def test_every_sampling_parameter_reaches_vllm(name: str, value: object) -> None:
    """None is accepted and ignored; the most tokens are those of the row."""
    assert {one.name for one in fields(SamplingParameters)} == {
        "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "max_new_tokens",
    }  # fmt: skip
    changed = arguments(replace(SamplingParameters(), **{name: value}))  # type: ignore[arg-type]
    assert changed[name] == (list(value) if isinstance(value, tuple) else value)
    assert changed != arguments(SamplingParameters())
    assert (changed["seed"], changed["max_tokens"], changed["stop_token_ids"]) == (7, 5, [2])


@pytest.mark.parametrize("temperature", [0.005, 2.5])
def test_a_temperature_that_vllm_would_change_is_refused(temperature: float) -> None:
    """It raises the lower ones in silence; other engines take both."""
    sampling = SamplingParameters(temperature=temperature)
    assert settings(sampling=sampling).sampling.temperature == temperature
    with pytest.raises(ConfigurationError, match=r"0 \(greedy\), or 0\.01 to 2"):
        settings(engine="vllm", sampling=sampling)


def test_two_filters_in_another_order_are_refused_for_new_runs() -> None:
    """vLLM's min-p comes before its top-p; what a run was begun with, it goes on with."""
    both = SamplingParameters(min_p=0.1, top_p=0.9)
    assert settings(engine="vllm", sampling=both).sampling == both
    with pytest.raises(ConfigurationError, match=r"--min-p is 0.1 and --top-p is 0.9.*--top-p 1 or --min-p 0"):
        require_same_choice(both)
    for one in (replace(both, min_p=0.0), replace(both, top_p=1.0), replace(both, temperature=0.0)):
        require_same_choice(one)


def test_eight_bits_are_refused() -> None:
    """vLLM would make four of them."""
    with pytest.raises(ConfigurationError, match="4 bits alone"):
        settings(engine="vllm", quantization="8bit")
    assert settings(engine="vllm", quantization="4bit").quantization == "4bit"


def test_the_engine_is_named_where_a_run_goes_on_with_another() -> None:
    """In the words of the command line."""
    assert differences(settings(), settings(engine="vllm")) == ['engine: "transformers" → "vllm"']


def test_the_plan_becomes_vllms_arguments() -> None:
    """GPUs share each layer; a CPU compiles nothing; quantisation is passed on; no pickle is ever read."""
    gpus = PLAN.arguments()
    assert (gpus["tensor_parallel_size"], gpus["gpu_memory_utilization"]) == (2, 0.9)
    assert (gpus["load_format"], gpus["enable_prefix_caching"]) == ("safetensors", True)
    assert "quantization" not in gpus
    assert replace(PLAN, quantization="4bit").arguments()["quantization"] == "bitsandbytes"
    assert "quantization" not in replace(PLAN, quantization="awq-4bit").arguments()  # vLLM reads that by itself
    cpu = replace(PLAN, gpus=0, memory_share=None, cache_bytes=GIB).arguments()
    assert (cpu["kv_cache_memory_bytes"], cpu["enforce_eager"]) == (GIB, True)
    assert "tensor_parallel_size" not in cpu


@pytest.mark.parametrize(("needed", "at_hand", "used"), [(1, 8, 1), (2, 8, 2), (3, 8, 4)])
def test_attention_heads_are_shared_evenly(llama: Checkpoint, needed: int, at_hand: int, used: int) -> None:
    """Four heads: where three GPUs would hold the model, vLLM takes four."""
    asked: list[int] = []

    def decide(options: PlacementOptions, quantization: str) -> Decision:
        asked.append(options.gpus_per_copy or needed)
        return decision("several-gpus" if needed > 1 else "one-gpu", gpus=asked[-1])

    found = decide_for_vllm(decide, PlacementOptions(), "none", llama, gpus=at_hand)
    assert found.gpus_per_copy == asked[-1] == used


def test_a_number_of_gpus_that_cannot_share_the_heads_is_refused(llama: Checkpoint) -> None:
    """With the numbers that can."""

    def decide(options: PlacementOptions, quantization: str) -> Decision:
        return decision("several-gpus", gpus=3)

    with pytest.raises(ConfigurationError, match="4 attention heads, so choose 1 or 2 or 4"):
        decide_for_vllm(decide, PlacementOptions(gpus_per_copy=3), "none", llama, gpus=4)
    with pytest.raises(EngineError, match="cannot share its 4 attention heads"):
        decide_for_vllm(decide, PlacementOptions(), "none", llama, gpus=3)


def test_a_model_that_spills_is_refused(llama: Checkpoint) -> None:
    """vLLM keeps all of it where it computes."""
    with pytest.raises(EngineError, match=r"15\.0 GiB of weights do not fit there.*--quantization 4bit"):
        decide_for_vllm(lambda *_: decision("cpu-offload", gpus=1), PlacementOptions(), "none", llama, gpus=1)


def test_auto_takes_four_bits_where_eight_would_do(llama: Checkpoint) -> None:
    """As vLLM has no eight."""

    def decide(options: PlacementOptions, quantization: str) -> Decision:
        return decision("one-gpu", gpus=1, quantization="8bit" if quantization == "auto" else quantization)

    assert decide_for_vllm(decide, PlacementOptions(), "auto", llama, gpus=1).quantization == "4bit"


def test_four_bits_on_a_cpu_are_refused(llama: Checkpoint) -> None:
    """The plugin ends in an assertion there."""
    with pytest.raises(EngineError, match="4-bit weights need a GPU"):
        decide_for_vllm(
            lambda *_: decision("cpu", gpus=0, quantization="4bit"), PlacementOptions(), "4bit", llama, gpus=0
        )


def test_a_gguf_file_is_refused(llama: Checkpoint) -> None:
    """Before anything is decided."""
    with pytest.raises(EngineError, match="GGUF file, which --engine vllm does not read"):
        decide_for_vllm(
            lambda *_: pytest.fail("it decided"), PlacementOptions(), "none", replace(llama, gguf="m.gguf"), gpus=0
        )


@pytest.mark.parametrize(
    ("weights", "processes", "expected"),
    [(1 << 20, 1, 165_840_000), (1 << 20, 4, 165_840_000), (1 << 20, 128, 83_361_792), (4 << 30, 1, 165_840_000)],
)
def test_memory_on_a_cpu_is_what_rows_need_and_is_divided(weights: int, processes: int, expected: int) -> None:
    """A model of a megabyte takes no gigabytes for its keys and values; processes side by side share what there is."""
    sums = replace(SUMS, weights=weights, usable=(20 * GIB,))
    assert cpu_cache_bytes(sums, processes) == expected


def test_more_processes_than_memory_has_room_for_are_refused() -> None:
    """Before vLLM is started."""
    with pytest.raises(EngineError, match=r"2 processes with 15.0 GiB of weights each do not fit into 20.0 GiB"):
        cpu_cache_bytes(SUMS, 2)


def test_vllm_sees_no_tensors_but_the_models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An adapter beside the model would take the place of its tensors."""
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_text(name)
    with model_files_alone(tmp_path) as folder:
        assert folder == tmp_path
    (tmp_path / "adapter_model.safetensors").write_text("adapter")
    with model_files_alone(tmp_path) as folder:
        assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
        assert (folder / "config.json").read_text() == "config.json"
    assert "model.safetensors is read alone; what lies beside it is not: adapter_model.safetensors" in caplog.text
    assert not folder.exists()


def test_a_reason_is_that_of_the_first_error_and_is_cut_between_words() -> None:
    """vLLM wraps it in errors that say to look above."""
    try:
        try:
            raise ValueError("weights " * 500)
        except ValueError as error:
            raise RuntimeError("Engine core initialization failed. See root cause above.") from error
    except RuntimeError as error:
        said = said_by(error)
    assert said.startswith("weights weights")
    assert said.endswith("weights ...")
    assert said_by(KeyError()) == "KeyError"


@pytest.mark.parametrize(("version", "tried"), [("0.32.0", True), ("0.40.1", False)])
def test_another_version_than_was_tried_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str, tried: bool
) -> None:
    """By the doctor, and before it is used; one that cannot be imported is an error with a way out."""
    vllm = installed.InstalledVllm("vllm", version, frozenset())
    monkeypatch.setattr(installed, "installed_vllm", lambda: vllm)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=rf"vLLM {version} is installed, and cannot be imported: .*docs/engines.md"):
        installed.imported_vllm()
    assert ("not among the versions that promptmill was tried with" in caplog.text) != tried
    assert judged_vllm(vllm).verdict == ("pass" if tried else "warn")


def test_rows_whose_logits_are_no_numbers_are_found() -> None:
    """vLLM counts them under a name of its own."""
    outputs = [SimpleNamespace(request_id="row-1-ab", num_nans_in_logits=3), SimpleNamespace(
        request_id="row-2-cd", num_nans_in_logits=0
    )]  # fmt: skip
    states = {name: SimpleNamespace(external_req_id=name[:5]) for name in ("row-1-ab", "row-2-cd")}
    engine = SimpleNamespace(
        output_processor=SimpleNamespace(request_states=states),
        engine_core=SimpleNamespace(get_output=lambda: SimpleNamespace(outputs=outputs)),
    )
    unsound = UnsoundRows(engine)
    assert unsound.taken() == set()
    assert engine.engine_core.get_output().outputs == outputs
    assert unsound.taken() == {"row-1"}
    assert unsound.taken() == set()


def test_tensors_with_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """All files are read for it."""
    save_file({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, tmp_path / "model.safetensors")
    assert list(tensors_with_nan(tmp_path)) == ["b"]


def test_without_vllm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, with code 70, and before anything is fetched."""
    assert installed.find_spec("vllm") is None, "these tests are for an environment without vLLM"
    outcome = build_dataset("--model", "gpt2", "--engine", "vllm", cwd=tmp_path)
    assert outcome.code == 70
    assert "pip install -e '.[vllm]'" in outcome.said
    assert "Traceback" not in outcome.said
    assert not (tmp_path / "data" / "models").exists()
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "vllm_bnb_plugin" else object())
    installed.require_vllm("none")
    with pytest.raises(EngineError, match="pip install vllm-bnb-plugin bitsandbytes"):
        installed.require_vllm("4bit")


def test_options_of_transformers_placement_are_refused(tmp_path: Path) -> None:
    """vLLM places by itself; nothing is accepted and ignored."""
    outcome = build_dataset("--model", "gpt2", "--engine", "vllm", "--device-map", "cpu", cwd=tmp_path)
    assert outcome.code == 78
    assert "--device-map is 'cpu', which has no meaning with --engine vllm" in outcome.said


@pytest.fixture
def llama(tmp_path: Path) -> Checkpoint:
    """A configuration with four attention heads."""
    tiny_model().config.save_pretrained(tmp_path / "llama")
    return Checkpoint(tmp_path / "llama", {}, "none", None, 0)


def decision(kind: Kind, *, gpus: int, quantization: str = "none") -> Decision:
    """A decision as far as it matters here."""
    return Decision("gpus", "bfloat16", quantization, kind, (("", 0),), gpus, 1, 8, (20 * GIB,) * gpus, SUMS)
