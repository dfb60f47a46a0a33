"""Find out what the server of a model is, before rows are asked of it."""

from __future__ import annotations

import luigi

from promptmill.endpoint.meeting import is_met, meet_server
from promptmill.plan import recorded_manifest
from tasks.endpoint_parameters import EndpointParameters
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class MeetServer(EndpointParameters, Stage):
    """Fixes the run's identity, and shows that the server takes the run's settings."""

    def requires(self) -> PreparePrompts:
        """The prompts, which are a part of the identity."""
        return self.clone(PreparePrompts)

    def output(self) -> luigi.LocalTarget:
        """What was found."""
        return target(self.folder.server)

    def complete(self) -> bool:
        """Whether a server was met and the identity is fixed."""
        return is_met(self.folder)

    def run(self) -> None:
        """Ask, try, write down."""
        meet_server(self.folder, recorded_manifest(self.folder).prompts, self.endpoint_options)
