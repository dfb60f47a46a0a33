"""What the stages of a run have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import luigi

from promptmill.run import RunFolder
from tasks.parameters import path
from tasks.process import ending_on_error, friendly, prepare_process, require_scheduler


class PromptmillTask(luigi.Task):
    """A task whose errors end the process with a sentence and an exit code of their own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        prepare_process()
        with ending_on_error():
            require_scheduler()
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("run", "complete", "requires", "output"):
            if name in cls.__dict__:
                setattr(cls, name, friendly(cls.__dict__[name]))


class Stage(PromptmillTask):
    """One stage of a run that `BuildDataset` began."""

    run_dir = path(description="Folder of the run, as in data/runs/NAME.")

    @property
    def folder(self) -> RunFolder:
        """The run that this stage belongs to."""
        return RunFolder(Path(self.run_dir))


def target(path: Path) -> luigi.LocalTarget:
    """A file that is complete once it exists: the core renames it into place."""
    return luigi.LocalTarget(str(path))
