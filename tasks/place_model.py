"""Decide dtype and placement for the GPUs at hand, and load the model for real once."""

from __future__ import annotations

import luigi

from promptmill.hardware import detect_hardware
from promptmill.placement import place_model, recorded_placement
from promptmill.placing.alone import placing_alone
from promptmill.plan import recorded_manifest
from tasks.download_model import DownloadModel
from tasks.hardware_parameters import PlacementParameters
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class PlaceModel(PlacementParameters, Stage):
    """Fixes the run's identity and proves that its model loads on this kind of hardware."""

    place = staticmethod(place_model)

    def requires(self) -> list[luigi.Task]:
        """The model's files; and the prompts, which are a part of the identity."""
        return [self.clone(DownloadModel), self.clone(PreparePrompts)]

    def output(self) -> luigi.LocalTarget:
        """The placement for this kind of hardware; other machines have their own."""
        return target(self.folder.placement(detect_hardware().label))

    def complete(self) -> bool:
        """Whether the model was placed on hardware of this kind, as the options want it, and the identity is fixed."""
        if not self.folder.identity.exists():
            return False
        placement = recorded_placement(self.folder, detect_hardware())
        return placement is not None and placement.options == self.placement_options

    def run(self) -> None:
        """Decide, load, measure, write down."""
        prompts = recorded_manifest(self.folder).prompts
        with placing_alone(self.folder.path):
            # Nothing is left to do where it was another process that did it meanwhile.
            self.place(self.folder, detect_hardware(), prompts, self.placement_options)
