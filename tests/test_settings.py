"""Settings: what is checked, what is hashed, what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from promptmill.errors import ConfigurationError
from promptmill.sampling import MAX_SEED, SamplingParameters, row_seed
from promptmill.settings import RunSettings, canonical_hash, checked_name, differences, run_name


def settings(**changes: Any) -> RunSettings:
    """Some settings, with changes."""
    base = RunSettings(
        model="gpt2",
        revision=None,
        prompts_sha256="ab" * 32,
        prompt_column=None,
        template=None,
        system_prompt=None,
        limit=None,
        samples_per_prompt=1,
        sampling=SamplingParameters(stop=("END",)),
        seed=0,
        dtype="auto",
        quantization="none",
        engine="transformers",
    )
    return replace(base, **changes)


def test_settings_go_to_json_and_back() -> None:
    """Nothing is lost on the way, tuples included."""
    assert RunSettings.from_json(settings().to_json()) == settings()


def test_a_setting_of_servers_leaves_other_runs_their_names() -> None:
    """Runs that were begun before it was known have the same hash, and can be read."""
    later = {"endpoint_api", "drop_last_answer", "prompt_per_file", "file_column", "keep_special_tokens"}
    assert not later & settings().to_json().keys()
    assert RunSettings.from_json(settings(drop_last_answer=True).to_json()).drop_last_answer
    served = settings(engine="endpoint", endpoint_api="chat")
    assert RunSettings.from_json(served.to_json()) == served


def test_settings_of_a_later_version_are_refused() -> None:
    """A setting that is not known might change the bytes, so it is not ignored."""
    with pytest.raises(ConfigurationError, match="later_knob"):
        RunSettings.from_json({**settings().to_json(), "later_knob": 1})


def test_every_setting_changes_the_hash() -> None:
    """No two different settings share a fingerprint."""
    changed = [
        settings(model="gpt3"),
        settings(revision="v1"),
        settings(prompts_sha256="cd" * 32),
        settings(prompt_column="text"),
        settings(drop_last_answer=True),
        settings(prompt_per_file=True),
        settings(file_column="file"),
        settings(keep_special_tokens=True),
        settings(template="{{ text }}"),
        settings(system_prompt="Be brief."),
        settings(limit=3),
        settings(samples_per_prompt=2),
        settings(sampling=SamplingParameters()),
        settings(sampling=SamplingParameters(stop=("END",), temperature=0.8)),
        settings(sampling=SamplingParameters(stop=("END",), top_p=0.8)),
        settings(sampling=SamplingParameters(stop=("END",), top_k=8)),
        settings(sampling=SamplingParameters(stop=("END",), max_new_tokens=8)),
        settings(seed=1),
        settings(dtype="float32"),
        settings(quantization="8bit"),
        settings(engine="endpoint"),
        settings(engine="endpoint", endpoint_api="chat"),
    ]
    hashes = {canonical_hash(each.to_json()) for each in [settings(), *changed]}
    assert len(hashes) == len(changed) + 1


def test_differences_name_old_and_new() -> None:
    """One line a setting, whichever dataclass it lives in."""
    other = settings(seed=7, sampling=SamplingParameters(temperature=0.0, stop=("END",)), prompts_sha256="cd" * 32)
    assert differences(settings(), other) == [
        "prompts: the content changed (SHA-256 abababababab… → cdcdcdcdcdcd…)",
        "seed: 0 → 7",
        "temperature: 0.7 → 0.0",
    ]


def test_the_name_of_a_run_can_be_read() -> None:
    """Model and prompts without their paths, then the beginning of the hash."""
    name = run_name(settings(model="/models/My Model"), "/home/me/Prompts v2.jsonl")
    assert name == f"my-model-prompts-v2-{canonical_hash(settings(model='/models/My Model').to_json())[:8]}"


@pytest.mark.parametrize("name", ["../up", "/etc", "a b", "", ".hidden", "-rf", "x" * 101, "new\nline", "ünï"])
def test_hostile_names_are_refused(name: str) -> None:
    """A name becomes a folder's, so it may not leave the data folder or look like an option."""
    with pytest.raises(ConfigurationError, match="--name"):
        checked_name(name)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"dtype": "float8"}, "--dtype"),
        ({"quantization": "3bit"}, "--quantization"),
        ({"engine": "magic"}, "--engine"),
        ({"limit": 0}, "--limit"),
        ({"samples_per_prompt": 0}, "--samples-per-prompt"),
        ({"seed": -1}, "--seed"),
        ({"model": ""}, "--model"),
        ({"endpoint_api": "chat"}, "--endpoint-api"),
        ({"engine": "endpoint", "endpoint_api": "speech"}, "--endpoint-api"),
        ({"engine": "endpoint", "dtype": "float16"}, "--dtype"),
        ({"engine": "endpoint", "quantization": "4bit"}, "--quantization"),
        ({"engine": "endpoint", "revision": "main"}, "--revision"),
    ],
)
def test_wrong_settings_name_their_option(change: dict[str, Any], option: str) -> None:
    """The message begins with what to correct."""
    with pytest.raises(ConfigurationError, match=f"^{option} is "):
        settings(**change)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"top_p": 3.0}, "--top-p"),
        ({"top_p": 0.0}, "--top-p"),
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"top_k": -1}, "--top-k"),
        ({"max_new_tokens": 0}, "--max-new-tokens"),
        ({"stop": ("",)}, "--stop"),
    ],
)
def test_wrong_sampling_parameters_name_their_option(change: dict[str, Any], option: str) -> None:
    """The message begins with what to correct."""
    with pytest.raises(ConfigurationError, match=f"^{option} is "):
        SamplingParameters(**change)


def test_row_seeds_differ_and_stay() -> None:
    """A row's seed depends on run seed, prompt and sample, and on nothing else."""
    seeds = {row_seed(run, prompt, sample) for run in range(3) for prompt in ("a", "b") for sample in range(3)}
    assert len(seeds) == 18
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert row_seed(1, "a", 2) == 1876767644146270359
