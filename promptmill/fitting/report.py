"""The whole answer, as values that go to JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.fitting.advice import PoolFit, Wish, command_of, next_steps, recommended
from promptmill.fitting.memory import MemoryRow, memory_rows, precisions_of
from promptmill.fitting.model import KnownModel
from promptmill.fitting.pools import Pool
from promptmill.fitting.speed import Duration, Speed, duration_of
from promptmill.placing.fit import Question
from promptmill.placing.memory import Workload

CONTEXT = 512
"""Positions of a row: prompt and completion."""


@dataclass(frozen=True)
class FitReport:
    """What `promptmill fit` says.

    Attributes:
        positions: of a row.
        rows: at a time, for the table of memory.
        fits: each pool in each precision.
        choice: what is recommended; None if nothing fits.
        command: for it, as a list of words.
        warnings: what is to be known of the recommendation.
        steps: what to do where nothing fits.
        notes: of the model, the GPUs, and the search for them.
    """

    model: KnownModel
    positions: int
    rows: int
    memory: tuple[MemoryRow, ...]
    fits: tuple[PoolFit, ...]
    choice: PoolFit | None
    command: tuple[str, ...]
    warnings: tuple[str, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    duration: Duration | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, for scripts; sizes in bytes."""
        model, shape = self.model, self.model.shape
        return {
            "model": {
                "name": model.source.name,
                "revision": model.source.revision,
                "type": shape.model_type,
                "parameters": shape.parameters,
                "quantisable_parameters": shape.matrices,
                "exact": model.exact,
                "layers": shape.layers + shape.window_layers,
                "context": shape.context,
                "quantization": model.quantization,
                "stored_bytes": model.stored_bytes,
                "stored_dtype": model.stored_dtype,
            },
            "positions": self.positions,
            "rows": self.rows,
            "memory": [asdict(row) for row in self.memory],
            "gpus": [_fit_json(one) for one in self.fits],
            "recommended": None if self.choice is None else {**_fit_json(self.choice), "copies": self.choice.copies},
            "command": shlex.join(self.command) if self.command else None,
            "warnings": list(self.warnings),
            "next_steps": list(self.steps),
            "notes": list(self.notes),
            "time": None if self.duration is None else asdict(self.duration),
        }


def workload_of(model: KnownModel, context: int | None, new_tokens: int) -> Workload:
    """Rows of `context` positions, of which up to `new_tokens` are generated.

    Raises:
        ConfigurationError: the model, or the completion, does not go with so many positions.
    """
    limit = model.shape.context
    if context is None:
        return Workload(max(1, CONTEXT - new_tokens), new_tokens).within(limit)
    if limit is not None and context > limit:
        raise ConfigurationError(
            f"--context is {context}, and {model.source.name} has {limit} positions. Choose --context {limit} or less."
        )
    if context < 2:
        raise ConfigurationError(f"--context is {context}; prompt and completion take at least 2 positions.")
    new_tokens = min(new_tokens, max(1, context // 2)) if new_tokens >= context else new_tokens
    return Workload(context - new_tokens, new_tokens)


def fit_report(
    model: KnownModel, pools: Sequence[Pool], workload: Workload, rows: int, wish: Wish, said: Sequence[str] = ()
) -> FitReport:
    """Everything but the time, which needs the recommendation first."""
    question = Question(model.shape, model.splitter, workload)
    fits = tuple(
        PoolFit(pool, one.name, question.fit(pool.hardware, one.dtype, one.quantization))
        for pool in pools
        for one in precisions_of(model)
        if not (pool.is_cpu and one.name == "float16/bfloat16")
    )
    choice = recommended(fits)
    memory = memory_rows(model, workload, rows)
    at_hand = [pool for pool in pools if not pool.listed]
    largest = max(at_hand, key=lambda pool: (pool.count * pool.memory, pool.memory), default=None)
    return FitReport(
        model=model,
        positions=workload.positions,
        rows=rows,
        memory=memory,
        fits=fits,
        choice=choice,
        command=() if choice is None else tuple(command_of(choice, wish)),
        warnings=() if choice is None or choice.fit.decision is None else choice.fit.decision.warnings,
        steps=() if choice is not None or largest is None else next_steps(question, model, largest),
        notes=_notes(model, pools, memory, said),
    )


def with_time(report: FitReport, *, rows: int, new_tokens: int, speed: Speed | None, walltime: int | None) -> FitReport:
    """The report with the time that so many rows take on what it recommends."""
    if report.choice is None:
        return report
    duration = duration_of(report.choice, rows=rows, new_tokens=new_tokens, speed=speed, walltime=walltime)
    return replace(report, duration=duration)


def _notes(
    model: KnownModel, pools: Sequence[Pool], memory: Sequence[MemoryRow], said: Sequence[str]
) -> tuple[str, ...]:
    notes = [model.source.note] if model.source.note else []
    if not model.exact:
        notes.append("The architecture is not known here, so activations and the count of parameters are rough.")
    if model.is_packed:
        notes.append(f"The weights come as {model.quantization} and are loaded so; leave --quantization out.")
    notes += _reasons(memory)
    texts = dict.fromkeys(note for pool in pools for note in pool.notes)
    for text in texts:
        names = dict.fromkeys(pool.gpu for pool in pools if text in pool.notes)
        notes.append(f"{', '.join(names)}: {text}")
    return tuple(dict.fromkeys([*notes, *said]))


def _reasons(memory: Sequence[MemoryRow]) -> list[str]:
    """Why the model cannot be quantised: once for what is true of 8bit and 4bit alike."""
    why: dict[str, list[str]] = {}
    for row in memory:
        if row.reason:
            why.setdefault(row.reason.replace(row.quantization, "{}"), []).append(row.quantization)
    return [text.format(" or ".join(names)) for text, names in why.items()]


def _fit_json(one: PoolFit) -> dict[str, Any]:
    decision = one.fit.decision
    return {
        "gpu": one.pool.gpu,
        "partition": one.pool.partition,
        "nodes": one.pool.nodes,
        "gpus_at_hand": one.pool.count,
        "gpu_bytes": one.pool.memory,
        "precision": one.precision,
        "dtype": one.fit.dtype or None,
        "quantization": one.fit.quantization,
        "fits_one": one.fit.gpus == 1 if not one.pool.is_cpu else None,
        "fits": one.is_possible,
        "gpus_needed": one.fit.gpus,
        "largest_batch": one.fit.rows or None,
        "planned_bytes": list(decision.arithmetic.planned) if decision is not None else None,
        "reason": one.fit.reason,
    }
