"""What a chat is asked to be: the settings of a run, as far as they concern a chat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import ConfigurationError
from promptmill.placing.options import PlacementOptions
from promptmill.sampling import MAX_SEED, SamplingParameters
from promptmill.settings import DTYPES, QUANTIZATIONS


@dataclass(frozen=True)
class ChatSettings:
    """Checked when it is made.

    Attributes:
        model: `demo`, a Hub repo id, or a folder.
        revision: branch, tag or commit of a Hub model; None for main.
        data: the data folder, where the demo model and quantised weights are kept.
        system: the system message; None for none.
        trust_remote_code: whether Python code that comes with the model is run.
        keep_special_tokens: whether special tokens inside answers are shown.
        chat_template: in place of the model's usual one; see `promptmill.settings.RunSettings`.

    Raises:
        ConfigurationError: a value that is none of the choices.
    """

    model: str
    revision: str | None
    data: Path
    dtype: str
    quantization: str
    placement: PlacementOptions
    sampling: SamplingParameters
    seed: int
    system: str | None
    allow_pickle: bool
    trust_remote_code: bool = False
    keep_special_tokens: bool = False
    chat_template: str | None = None

    def __post_init__(self) -> None:
        for option, value, choices in (
            ("--dtype", self.dtype, DTYPES),
            ("--quantization", self.quantization, QUANTIZATIONS),
        ):
            if value not in choices:
                raise ConfigurationError(f"{option} is {value!r}; choose one of {', '.join(choices)}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigurationError(f"--seed is {self.seed}; it has to be 0 to {MAX_SEED}.")


def stop_strings(given: list[str]) -> tuple[str, ...]:
    """`--stop` given several times, or once as the JSON list that BuildDataset takes.

    Raises:
        ConfigurationError: it begins like a list and is none of texts.
    """
    if len(given) != 1 or not given[0].lstrip().startswith("["):
        return tuple(given)
    try:
        value = json.loads(given[0])
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f'--stop: {given[0]!r} is no JSON list of texts; write it as in \'["a", "b"]\'.')
    return tuple(value)
