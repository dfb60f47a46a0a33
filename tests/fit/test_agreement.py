"""`fit` and a run decide alike: the same model on the same machines, without torch and with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptmill.errors import PromptmillError
from promptmill.fitting.memory import PRECISIONS, memory_rows
from promptmill.placing.case import Case
from promptmill.placing.decide import decide
from promptmill.placing.memory import GIB, MemoryEstimate, estimate
from promptmill.placing.options import PlacementOptions
from tests.fit.models import published
from tests.placing.models import MACHINES, PUBLISHED, WORKLOAD, case_of, machine, skeleton_named

OPTIONS = (
    PlacementOptions(),
    PlacementOptions(offload="disk"),
    PlacementOptions(max_memory=(("gpu", 3 * GIB),)),
)


def _outcome(case: Case) -> object:
    try:
        found = decide(case)
    except PromptmillError as error:
        return str(error)
    if found is None:
        return None
    sums = found.arithmetic
    return found.kind, found.gpus_per_copy, found.copies, found.batch_size, sums.weights, sums.usable, found.warnings


@pytest.mark.filterwarnings("ignore:Current model requires:UserWarning")  # accelerate's, of buffers on made-up GPUs
@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
@pytest.mark.parametrize("model", PUBLISHED)
def test_a_config_alone_leads_to_the_decision_of_a_run(model: str, quantization: str) -> None:
    """GPUs a copy, copies, rows, bytes and warnings; on all machines of the table, offloading and splitting."""
    known = published(model)
    for name in MACHINES:
        for options in OPTIONS:
            case = case_of(model, machine(name), quantization, options=options)
            buffers = case.shape.buffer_bytes
            plain = replace(case, shape=replace(known.shape, buffer_bytes=buffers), splitter=known.splitter)
            assert _outcome(plain) == _outcome(case), (name, options)


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_table_has_the_sums_of_a_run(model: str) -> None:
    """Part by part and in all, in each precision."""
    known = published(model)
    shape = replace(skeleton_named(model).shape, buffer_bytes=known.shape.buffer_bytes)
    for one, line in zip(PRECISIONS, memory_rows(known, WORKLOAD, 8), strict=True):
        sums = estimate(shape, one.sized_as, one.quantization, rows=8, workload=WORKLOAD, gpu=True)
        assert MemoryEstimate(line.weights, line.kv_cache, line.working, line.context) == sums
        assert line.total == sums.total
