"""Which stages an engine needs, and which options are its own: the one place that knows."""

from __future__ import annotations

from typing import Any

import luigi

from promptmill.errors import ConfigurationError
from promptmill.settings import RunSettings
from promptmill.vllm.installed import require_vllm
from tasks.download_model import DownloadModel
from tasks.endpoint_parameters import EndpointParameters
from tasks.hardware_parameters import PlacementParameters
from tasks.meet_server import MeetServer
from tasks.place_model import PlaceModel
from tasks.stage import Stage

_OF_LOADING = (
    *(name for name, value in vars(PlacementParameters).items() if isinstance(value, luigi.Parameter)),
    "batch_size",
    "allow_pickle",
    "trust_remote_code",
)
_NOT_OF_VLLM = ("device_map", "offload", "trust_remote_code")
_OF_ENDPOINT = tuple(name for name, value in vars(EndpointParameters).items() if isinstance(value, luigi.Parameter))


def fetching_stages(settings: RunSettings) -> tuple[type[Stage], ...]:
    """What has the model's files on disk; nothing where a server has them."""
    return (DownloadModel,) if settings.loads_model else ()


def ready_stage(settings: RunSettings) -> type[Stage]:
    """What fixes the run's identity, and shows that rows can be generated."""
    return PlaceModel if settings.loads_model else MeetServer


def check_options(task: Any) -> None:
    """Refuse options of another engine, and what makes no sense, before anything is fetched.

    Raises:
        ConfigurationError: says which option it is.
        EngineError: the engine is not installed.
    """
    endpoint = task.engine == "endpoint"
    for name in _OF_LOADING if endpoint else _OF_ENDPOINT:
        _require_default(task, name)
    if endpoint:
        task.check_endpoint()
        return
    task.check_placement()
    if task.engine == "vllm":
        for name in _NOT_OF_VLLM:
            _require_default(task, name)
        require_vllm(task.quantization)


def _require_default(task: Any, name: str) -> None:
    value = getattr(task, name)
    if value != dict(task.get_params())[name]._default:
        raise ConfigurationError(
            f"--{name.replace('_', '-')} is {value!r}, which has no meaning with --engine {task.engine}. Leave it out."
        )
