"""A luigi.cfg that is not as it was meant is refused in a sentence: nothing is run with defaults instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from luigi.configuration import LuigiConfigParser

import workflows  # noqa: F401 - so that its tasks are known
from promptmill.errors import ConfigurationError
from promptmill.stopping import Exit
from tasks.configuration import require_files_in_use, require_known_settings
from tasks.parameters import expanded
from tests.command import build_dataset

BAD = {
    "[BuildDatset]\nmodel = x": "Did you mean [BuildDataset]?",
    "[buildDataset]\nmodel = x": "Did you mean [BuildDataset]?",
    "[SubmitDatasets]\nmodel = x": "Did you mean [SubmitDataset]?",
    "[slrum]\npartition = a": "Did you mean [slurm]?",
    "[BuildDataset]\nmax_new_token = 2": "Did you mean max_new_tokens?",
    "[BuildDataset]\ntemprature = 0": "Did you mean temperature?",
    "[BuildDataset]\nprompt = p.jsonl": "Did you mean prompts?",
    "[BuildDataset]\nMax_New_Tokens = 2": "Did you mean max_new_tokens?",
    "[BuildDataset]\nzzz = 2": "Its keys are",
    "[slurm]\npartitions = a": "Did you mean partition?",
    "[BuildDataset]\nsystem_prompt = Give 100% effort.": "Write %% for a %",
    "[BuildDataset]\nsystem_prompt = %(name)s": "Write %% for a %",
    "[core]\nlogging_conf_file = 5%": "Write %% for a %",
    "[BuildDataset]\ndata_dir = ${NO_SUCH_VARIABLE}/x": "NO_SUCH_VARIABLE",
    "[BuildDataset]\ndata_dir = $NO_SUCH_VARIABLE/x": "$NO_SUCH_VARIABLE",
    "[BuildDataset]\ndata_dir = ~no-such-user/x": "~no-such-user",
    "[BuildDataset]\nprompts = $NO_SUCH_VARIABLE/p.txt": "$NO_SUCH_VARIABLE",
    "[BuildDataset]\ntemplate = @$NO_SUCH_VARIABLE/p.txt": "$NO_SUCH_VARIABLE",
    "[BuildDataset]\nprivate = maybe": "neither true nor false",
    "[BuildDataset]\nprivate =": "neither true nor false",
    "[BuildDataset]\nlimit = many": "whole number",
    "[BuildDataset]\ntop_p = high": "number",
    "[BuildDataset]\nstop = [1]": "JSON list",
    "[BuildDataset]\nbatch_size = 0": "auto",
    "[BuildDataset]\nstall_timeout = soon": "a time such as",
    "[BuildDataset]\nmax_error_share = 2": "from 0 to 1",
    "[SubmitDataset]\nmax_parallel = x": "whole number",
    "[core]\nworkers = two": "'two'",
    "[core]\nlocal_scheduler = yes": "'yes'",
    "[core]\nlog_level = LOUD": "LOUD",
    "[retcode]\nnot_run = x": "'x'",
}

GOOD = [
    "",
    "[BuildDataset]\nmax_new_tokens = 2\nmax-new-tokens = 2\nsystem_prompt = 100%%",
    "[BuildDataset]\nprivate = yes\noverwrite = ON\ngroup_shared = 1\nallow_pickle = off",
    "[DEFAULT]\nmine = 1\n[BuildDataset]\nmodel = gpt2",
    "[slurm]\npartition = a\nsetup = module load cuda",
    "[core]\nlog_level = DEBUG\nrpc-retry-wait = 1\n[email]\nsender = me\n[AnotherProject]\nanything = 100%",
    "[BuildDataset]\ndata_dir = $HOME/x\nprompts = ~/p.jsonl",
]


def _config(text: str) -> LuigiConfigParser:
    config = LuigiConfigParser()
    config.read_string(text)
    return config


@pytest.mark.parametrize("text", list(BAD))
def test_a_wrong_section_key_or_value_is_refused(
    text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it was, and what was probably meant."""
    # The log and the signals are those of the tests' own process.
    monkeypatch.setattr("tasks.process.prepare_process", lambda: None)
    with pytest.raises((ConfigurationError, Exit)) as caught:
        require_known_settings(_config(text))
    if isinstance(caught.value, Exit):
        assert caught.value.code == ConfigurationError.exit_code
    assert BAD[text] in f"{caplog.text} {caught.value}"


@pytest.mark.parametrize("text", GOOD)
def test_what_is_right_or_somebody_elses_passes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other projects' sections are their own."""
    monkeypatch.setenv("HOME", "/home/me")
    require_known_settings(_config(text))


@pytest.mark.parametrize(
    ("there", "environment", "says"),
    [
        ([], {"LUIGI_CONFIG_PATH": "/nonexistent.cfg"}, "there is no such file"),
        ([], {"LUIGI_CONFIG_PATH": "."}, "it is no file"),
        (["a.toml"], {"LUIGI_CONFIG_PATH": "a.toml"}, "Luigi reads .cfg"),
        (["a.cfg"], {"LUIGI_CONFIG_PATH": "a.cfg", "LUIGI_CONFIG_PARSER": "toml"}, "Luigi reads .toml"),
        ([], {"LUIGI_CONFIG_PARSER": "yaml"}, "has to be cfg or toml"),
        (["luigi.toml"], {}, "export LUIGI_CONFIG_PARSER=toml"),
        (["luigi.cfg"], {"LUIGI_CONFIG_PARSER": "toml"}, "export LUIGI_CONFIG_PARSER=cfg"),
    ],
    ids=str,
)
def test_a_file_that_is_not_read_is_told(
    there: list[str], environment: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Luigi warns at most, and goes on with defaults."""
    monkeypatch.chdir(tmp_path)
    for name in there:
        (tmp_path / name).touch()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        require_files_in_use()


def test_paths_are_expanded_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In luigi.cfg and after `=` no shell has done it; a folder of that very name is meant as it stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    given = ["~/x", "$SCRATCH/x", "${SCRATCH}/*.jsonl", "data", "owner/name:train", "a~b"]
    right = ["/home/me/x", "/scratch/me/x", "/scratch/me/*.jsonl", "data", "owner/name:train", "a~b"]
    assert [expanded(text) for text in given] == right
    Path("~/x").mkdir(parents=True)
    assert expanded("~/x") == "~/x"


def test_a_bad_configuration_ends_the_command_in_a_sentence(tmp_path: Path) -> None:
    """With 78, before anything is made."""
    (tmp_path / "luigi.cfg").write_text("[BuildDataset]\nmax_new_token = 2\n")
    outcome = build_dataset(cwd=tmp_path)
    assert outcome.code == ConfigurationError.exit_code
    assert "Did you mean max_new_tokens?" in outcome.said
    assert "Traceback" not in outcome.said
    assert [path.name for path in tmp_path.iterdir()] == ["luigi.cfg"]


def test_a_forgotten_local_scheduler_is_told_at_once(tmp_path: Path) -> None:
    """Where no luigid answers."""
    outcome = build_dataset("--scheduler-port", 9, cwd=tmp_path, local_scheduler=False)
    assert outcome.code == ConfigurationError.exit_code
    assert "Add --local-scheduler" in outcome.said
    assert "Traceback" not in outcome.said
