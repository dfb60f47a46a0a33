"""What to type, or where nothing fits, the next smaller thing to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from promptmill.fitting.model import KnownModel
from promptmill.fitting.pools import Pool
from promptmill.placing.choices import QUANTIZATIONS, possible_quantizations
from promptmill.placing.costs import FEW_ROWS
from promptmill.placing.fit import Fit, Question
from promptmill.placing.refusal import elsewhere, offload_way, ways_out
from promptmill.sampling import SamplingParameters

MOST_STEPS = 5
DATA_DIR = "data"
MAX_PARALLEL = 8
"""Array tasks at a time, as SubmitDataset has it."""
_NOT_HERE = (
    "Ask for NVIDIA GPUs; or generate on these with a server outside of promptmill (vLLM has a build for AMD's GPUs)."
)
_ENOUGH_HOST = 1 << 40
"""Where nobody says how much host memory there is, the cost of offloading is told as if it sufficed."""


@dataclass(frozen=True)
class PoolFit:
    """A model on one pool, in one precision."""

    pool: Pool
    precision: str
    fit: Fit

    @property
    def is_possible(self) -> bool:
        """Whether the GPUs at hand do it."""
        return self.fit.available and self.fit.decision is not None

    @property
    def copies(self) -> int:
        """How many work at the same time on all nodes, as BuildDataset or SubmitDataset would have it."""
        on_node = 0 if self.fit.decision is None else self.fit.decision.copies
        return min(MAX_PARALLEL, on_node * self.pool.nodes) if self.pool.partition else on_node


@dataclass(frozen=True)
class Wish:
    """What the user said that goes into the command."""

    model: str
    revision: str | None = None
    prompts: str | None = None
    samples_per_prompt: int = 1
    max_new_tokens: int = SamplingParameters().max_new_tokens
    time: str | None = None
    data_dir: str = DATA_DIR


def recommended(fits: Sequence[PoolFit]) -> PoolFit | None:
    """The least quantisation that leaves room for a batch, on as few GPUs a copy as can be.

    The order is that of `--quantization auto`: quantisation changes what is generated, more GPUs do
    not. But a GPU is fast only with several rows at a time.
    """
    possible = [one for one in fits if one.is_possible and _runs(one)]
    on_gpus = [one for one in possible if not one.pool.is_cpu]
    roomy = [one for one in on_gpus or possible if one.fit.rows >= FEW_ROWS]
    if roomy:
        return min(roomy, key=lambda one: (_bits(one), one.fit.gpus, -one.copies * one.fit.rows))
    return max(on_gpus or possible, key=lambda one: (one.fit.rows, -_bits(one)), default=None)


def command_of(choice: PoolFit, wish: Wish) -> list[str]:
    """The command line of a run that does it."""
    decision = choice.fit.decision
    gpus = choice.fit.gpus or 0
    slurm = choice.pool.partition
    options: dict[str, object | None] = {
        "--model": wish.model,
        "--revision": wish.revision,
        "--prompts": wish.prompts,
        "--samples-per-prompt": wish.samples_per_prompt if wish.samples_per_prompt != 1 else None,
        "--max-new-tokens": None if wish.max_new_tokens == SamplingParameters().max_new_tokens else wish.max_new_tokens,
        "--quantization": choice.fit.quantization if choice.fit.quantization in QUANTIZATIONS else None,
        "--batch-size": choice.fit.rows,
        "--partition": slurm,
        "--gpus-per-task": gpus if slurm else None,
        "--time": wish.time if slurm else None,
        "--gpus-per-copy": gpus if gpus > 1 and not slurm else None,
        "--workers": decision.copies if decision is not None and decision.copies > 1 and not slurm else None,
        "--data-dir": None if wish.data_dir == DATA_DIR else wish.data_dir,
    }
    task = "SubmitDataset" if slurm else "BuildDataset"
    given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
    return ["luigi", "--module", "workflows", task, *given, "--local-scheduler"]


def shell_lines(command: Sequence[str], width: int = 78) -> str:
    """A command as a shell reads it, broken into lines before its options."""
    words = [shlex.quote(word) for word in command]
    lines, line = [], words[0]
    for word in _with_values(words[1:]):
        if len(line) + 1 + len(word) + 2 > width:
            lines.append(f"{line} \\")
            line = f"    {word}"
        else:
            line = f"{line} {word}"
    return "\n".join([*lines, line])


def next_steps(question: Question, model: KnownModel, pool: Pool) -> tuple[str, ...]:
    """The nearest things to do about a model that a pool does not hold, or that cannot run there."""
    if pool.vendor != "NVIDIA":
        return (_NOT_HERE,)
    hardware = replace(pool.hardware, host_bytes=pool.hardware.host_bytes or _ENOUGH_HOST)
    plain = model.quantization if model.is_packed else "none"
    names = (plain,) if model.is_packed else possible_quantizations(model.shape, hardware.gpus)
    smallest = question.case(hardware, "auto", names[-1])
    ways = list(islice(ways_out(smallest), MOST_STEPS - 2))
    if smallest.quantization != plain:
        ways += offload_way(replace(smallest, quantization=plain))
    return (*dict.fromkeys(ways), *elsewhere(smallest))


def _with_values(words: Sequence[str]) -> Iterator[str]:
    """Options with their values."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and rest and not rest[0].startswith("--"):
            word = f"{word} {rest.pop(0)}"
        yield word


def _runs(one: PoolFit) -> bool:
    """Whether promptmill would run so: on what is at hand, in the dtype that it takes by itself."""
    pool = one.pool
    return pool.is_cpu or (not pool.listed and pool.vendor == "NVIDIA" and one.precision != "float32")


def _bits(one: PoolFit) -> int:
    return QUANTIZATIONS.index(one.fit.quantization) if one.fit.quantization in QUANTIZATIONS else 0
