"""The settings of a run that change the bytes of its dataset, and the hash that names them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.sampling import MAX_SEED, SamplingParameters
from promptmill.vllm.sampling import require_sampling

DTYPES = ("auto", "float32", "float16", "bfloat16")
QUANTIZATIONS = ("none", "8bit", "4bit", "auto")
ENGINES = ("transformers", "vllm", "endpoint")
ENDPOINT_APIS = ("chat", "completions")
DEMO = "demo"
MAX_SAMPLES = 1_000_000
_LATER_SETTINGS = (
    "drop_last_answer",
    "prompt_per_file",
    "file_column",
    "keep_special_tokens",
    "split_special_tokens",
    "chat_template",
)
"""Not written where they are off, so that runs of versions that did not know them keep their name and fingerprint."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class RunSettings:
    """Everything that a user asks for and that changes the bytes of the dataset.

    Not here, because it changes none: batch size, devices, checkpoint interval, where to publish.

    Attributes:
        model: `demo`, a Hub repo id, or the absolute path of a local folder.
        revision: branch, tag or commit as asked for; the commit it stood for is in the identity.
        prompts_sha256: SHA-256 of what the prompts' source holds (`promptmill.prompts`).
        limit: only the first so many prompts; None for all.
        seed: of the run; each row derives its own from it.
        trust_remote_code: whether Python code that comes with the model is run.
        endpoint_api: which of a server's two ways of generating; None, or any other engine, leaves it to the prompts.
        drop_last_answer: whether the assistant's turn at the end of messages is left out.
        prompt_per_file: whether a .txt file is one prompt.
        file_column: the column that says which file a row came from; None for none.
        keep_special_tokens: whether special tokens inside completions stand in responses.
        split_special_tokens: whether control tokens in what users wrote are read as text.
        chat_template: `none`, the name of one of the model's, or `@` and a template's text; None for the usual one.
    """

    model: str
    revision: str | None
    prompts_sha256: str
    prompt_column: str | None
    template: str | None
    system_prompt: str | None
    limit: int | None
    samples_per_prompt: int
    sampling: SamplingParameters
    seed: int
    dtype: str
    quantization: str
    engine: str
    trust_remote_code: bool = False
    endpoint_api: str | None = None
    drop_last_answer: bool = False
    prompt_per_file: bool = False
    file_column: str | None = None
    keep_special_tokens: bool = False
    split_special_tokens: bool = False
    chat_template: str | None = None

    def __post_init__(self) -> None:
        _one_of("--dtype", self.dtype, DTYPES)
        _one_of("--quantization", self.quantization, QUANTIZATIONS)
        _one_of("--engine", self.engine, ENGINES)
        if not 1 <= self.samples_per_prompt <= MAX_SAMPLES:
            raise ConfigurationError(
                f"--samples-per-prompt is {self.samples_per_prompt}; it has to be 1 to {MAX_SAMPLES}."
            )
        for option in (
            "model",
            "revision",
            "prompt_column",
            "template",
            "system_prompt",
            "file_column",
            "chat_template",
        ):
            check_unicode(f"--{option.replace('_', '-')}", getattr(self, option))
        self._require_what_fits_the_engine()
        if self.limit is not None:
            _at_least("--limit", self.limit, 1)
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigurationError(f"--seed is {self.seed}; it has to be 0 to {MAX_SEED}.")
        if not self.model:
            raise ConfigurationError("--model is empty; give `demo`, a Hub repo id such as gpt2, or a local folder.")

    @property
    def loads_model(self) -> bool:
        """Whether the engine loads weights into this process; else a server has them."""
        return self.engine != "endpoint"

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` gives the same settings back."""
        value = asdict(self)
        if not self.trust_remote_code:
            del value["trust_remote_code"]  # runs from before there was this setting keep their names
        if self.endpoint_api is None:
            # So that runs of versions that did not know it keep their name and fingerprint.
            del value["endpoint_api"]
        for name in _LATER_SETTINGS:
            if not value[name]:
                del value[name]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunSettings:
        """The settings that `to_json` wrote; of a later version's unknown settings nothing is guessed."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise ConfigurationError(
                f"The run has settings that this version does not know: {', '.join(unknown)}. Upgrade promptmill."
            )
        sampling = {**value["sampling"], "stop": tuple(value["sampling"]["stop"])}
        return cls(**{**value, "sampling": SamplingParameters(**sampling)})

    def _require_what_fits_the_engine(self) -> None:
        if self.engine == "endpoint":
            if self.endpoint_api is not None:
                _one_of("--endpoint-api", self.endpoint_api, ENDPOINT_APIS)
            of_weights = {
                "--revision": (self.revision, None),
                "--dtype": (self.dtype, "auto"),
                "--quantization": (self.quantization, "none"),
                "--keep-special-tokens": (self.keep_special_tokens, False),
                "--split-special-tokens": (self.split_special_tokens, False),
                "--chat-template": (self.chat_template, None),
            }
            for option, (value, default) in of_weights.items():
                if value != default:
                    raise ConfigurationError(
                        f"{option} is {value!r}, and with --engine endpoint the server decides that. Leave it out."
                    )
        elif self.endpoint_api is not None:
            raise ConfigurationError(
                f"--endpoint-api is {self.endpoint_api!r}, which is for --engine endpoint alone. Leave it out."
            )
        if self.engine == "vllm":
            require_sampling(self.sampling)
            if self.quantization == "8bit":
                raise ConfigurationError(
                    "--quantization is '8bit', and vLLM quantises to 4 bits alone while it loads. Choose 4bit, or a "
                    "checkpoint whose weights come in 8 bits, or --engine transformers."
                )


def canonical_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(old: RunSettings, new: RunSettings, prompts: str | None = None) -> list[str]:
    """One line a setting that differs, old value → new value.

    Args:
        prompts: what is to be said of prompts that differ, if more is known than their digests.
    """
    before, after = _flat(asdict(old)), _flat(asdict(new))
    changed = [key for key in after if before.get(key) != after.get(key)]
    return [_difference(key, before.get(key), after.get(key), prompts) for key in changed]


def run_name(settings: RunSettings, prompts_source: str) -> str:
    """A readable name, made unique by the first characters of the settings' hash."""
    model = settings.model.rstrip("/").rsplit("/", 1)[-1]
    prompts = Path(prompts_source.split(":")[0]).name.split(".")[0]
    return f"{_slug(model)}-{_slug(prompts)}-{canonical_hash(settings.to_json())[:8]}"


def checked_name(name: str) -> str:
    """A name given by `--name`, which becomes a folder's name.

    Raises:
        ConfigurationError: it could leave the data folder or be mistaken for an option.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"--name is {name!r}; use 1 to 100 letters, digits, dots, dashes and underscores, "
            "the first a letter or a digit, as in --name my-run-1."
        )
    return name


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "run"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in settings.items() if key != "sampling"}
    return {**rest, **settings["sampling"]}


def _difference(key: str, old: object, new: object, prompts: str | None) -> str:
    if key == "prompts_sha256" and prompts is not None:
        return f"prompts: {prompts}"
    if key == "prompts_sha256":
        return f"prompts: the content changed (SHA-256 {str(old)[:12]}… → {str(new)[:12]}…)"
    return f"{key}: {_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if value is not None else "not set"
    return text if len(text) <= 80 else f"{text[:77]}…"


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{option} is {value!r}; choose one of {', '.join(choices)}.")


def check_unicode(option: str, value: str | None) -> None:
    """Refuse a value of the command line that no file of ours could hold.

    Raises:
        ConfigurationError: it is not UTF-8.
    """
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{option} has a byte that is not UTF-8 at character {error.start + 1}. Type it again in a UTF-8 terminal, "
            "or rename the file or folder."
        ) from error


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigurationError(f"{option} is {value}; it has to be {least} or more.")
