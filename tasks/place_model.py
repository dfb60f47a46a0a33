"""Decide dtype and placement for the GPUs at hand, and load the model for real once."""

from __future__ import annotations

import luigi

from promptmill.hardware import detect_hardware
from promptmill.placement import place_model
from promptmill.plan import recorded_manifest
from tasks.download_model import DownloadModel
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class PlaceModel(Stage):
    """Fixes the run's identity and proves that its model loads on this kind of hardware."""

    def requires(self) -> list[luigi.Task]:
        """The model's files; and the prompts, which are a part of the identity."""
        return [self.clone(DownloadModel), self.clone(PreparePrompts)]

    def output(self) -> luigi.LocalTarget:
        """The placement for this kind of hardware; other machines have their own."""
        return target(self.folder.placement(detect_hardware().label))

    def run(self) -> None:
        """Decide, load, measure, write down."""
        place_model(self.folder, detect_hardware(), recorded_manifest(self.folder).prompts)
