"""Rows whose logits are no numbers: vLLM counts such logits where it is told to, and passes the count on to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promptmill.placing.headers import weight_files


class UnsoundRows:
    """Names of the requests of a `vllm.LLMEngine` that had logits which are not numbers.

    Args:
        engine: started with VLLM_COMPUTE_NANS_IN_LOGITS; looked at from here on.
    """

    def __init__(self, engine: Any) -> None:
        self._states = engine.output_processor.request_states
        self._output = engine.engine_core.get_output
        self._found: set[str] = set()
        engine.engine_core.get_output = self._looked_at

    def taken(self) -> set[str]:
        """Those that were found since this was asked last."""
        found, self._found = self._found, set()
        return found

    def _looked_at(self) -> Any:
        outputs = self._output()
        for one in outputs.outputs:
            if one.num_nans_in_logits and one.request_id in self._states:
                self._found.add(self._states[one.request_id].external_req_id)
        return outputs


def tensors_with_nan(folder: Path) -> Iterator[str]:
    """Names of the tensors in a model's files that hold a value that is no number; reads all of them."""
    from safetensors import safe_open

    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no dictionary
                value = tensors.get_tensor(name)
                if value.is_floating_point() and value.isnan().any():
                    yield name
