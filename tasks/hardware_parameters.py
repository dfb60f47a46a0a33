"""What a user may say about batches, checkpoints, placement and servers; none of it changes the bytes of a dataset."""

from __future__ import annotations

from promptmill.placing.options import OFFLOADS, PlacementOptions
from promptmill.tolerance import MAX_ERROR_SHARE, STALL_SECONDS, Tolerance
from tasks.endpoint_parameters import EndpointParameters
from tasks.parameters import Setting, batch_size, integer, seconds, share, timeout


class PlacementParameters:
    """Where the model goes, against what promptmill would decide."""

    device_map = Setting(
        default=None,
        significant=False,
        description="`cpu`, `auto`, or a JSON object of module to GPU. Default: decided from memory.",
    )
    max_memory = Setting(
        default=None,
        significant=False,
        description="Most memory to use, as 10GiB a GPU or as JSON a device. Default: what is free.",
    )
    gpus_per_copy = integer(
        default=None, significant=False, description="GPUs for one copy of the model. Default: as few as hold it."
    )
    offload = Setting(
        default="cpu",
        significant=False,
        description=f"Where a model that no GPUs hold may spill: {', '.join(OFFLOADS)}. Default: cpu.",
    )

    @property
    def placement_options(self) -> PlacementOptions:
        """The four as one checked value."""
        return PlacementOptions.parsed(
            device_map=self.device_map,
            max_memory=self.max_memory,
            gpus_per_copy=self.gpus_per_copy,
            offload=self.offload,
        )

    def check_placement(self) -> None:
        """Refuse what makes no sense now, and not after the model was fetched.

        Raises:
            ConfigurationError: says which option it is.
        """
        _ = self.placement_options

    @property
    def placement_arguments(self) -> tuple[str, ...]:
        """The options that were given, for the command line of another task."""
        names = ("device_map", "max_memory", "gpus_per_copy", "offload")
        given = ((name, getattr(self, name)) for name in names)
        return tuple(f"--{name.replace('_', '-')}={value}" for name, value in given if value is not None)


class FillingParameters:
    """How a shard is filled."""

    batch_size = batch_size(
        default=None, significant=False, description="Rows in one forward pass, or auto. Default: auto."
    )
    checkpoint_seconds = seconds(
        default=60.0, significant=False, description="Commit finished rows this often. Default: 60."
    )
    stall_timeout = timeout(
        default=STALL_SECONDS,
        significant=False,
        description="End with 75 if no forward pass ends for so long, or none. Default: 15m.",
    )
    max_error_share = share(
        default=MAX_ERROR_SHARE,
        significant=False,
        description=f"Stop if a larger share of rows ends in error, after 100 rows. Default: {MAX_ERROR_SHARE}.",
    )

    @property
    def tolerance(self) -> Tolerance:
        """The last two as one checked value."""
        return Tolerance(self.stall_timeout, self.max_error_share)


class HardwareParameters(PlacementParameters, FillingParameters, EndpointParameters):
    """Where the model goes or is, and how shards are filled with it."""
