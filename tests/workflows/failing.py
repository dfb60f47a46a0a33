"""Tasks that end badly, for the test of exit codes."""

from __future__ import annotations

from collections.abc import Iterator

import luigi

import workflows  # noqa: F401 - sets the exit codes, as `--module workflows` does
from promptmill.errors import EngineError
from tasks.stage import PromptmillTask


class Surprise(PromptmillTask):
    """Fails in a way that nobody thought of."""

    def run(self) -> None:
        """Divide by zero."""
        _ = 1 / 0


class Expected(PromptmillTask):
    """Fails in a way that has an exit code of its own."""

    def run(self) -> None:
        """Say so."""
        raise EngineError("The engine is on fire. Put it out.")


class Lazy(PromptmillTask):
    """Runs, and leaves nothing."""

    def output(self) -> luigi.LocalTarget:
        """What is never written."""
        return luigi.LocalTarget("nothing-here")

    def run(self) -> None:
        """Do nothing."""


class Downstream(PromptmillTask):
    """Hangs on a task that fails, so that it is never run."""

    def requires(self) -> Surprise:
        """What fails."""
        return Surprise()


class Yielding(PromptmillTask):
    """Comes upon a task that fails while it runs."""

    def run(self) -> Iterator[Surprise]:
        """What fails."""
        yield Surprise()
