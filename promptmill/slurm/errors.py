"""What Slurm can answer with.

PromptmillError
├── SlurmUnavailable        69  the commands are not installed, or slurmctld does not answer
└── SlurmRefused            78  Slurm answered, and will not take the job as it is
"""

from __future__ import annotations

from promptmill.errors import PromptmillError


class SlurmUnavailable(PromptmillError):
    """The commands are not installed, or slurmctld does not answer."""

    exit_code = 69


class SlurmRefused(PromptmillError):
    """Slurm answered, and will not do it as it was asked."""

    exit_code = 78
