"""Every error that promptmill raises on purpose, and the exit code each one ends a run with.

    PromptmillError              1
    ├── InvalidRows             65  rows of a prompts file that cannot be used
    ├── NotFound                66  a prompts file, a model or a run that is not there
    ├── HubUnavailable          69  the Hub does not answer (which is not "no access")
    ├── EngineError             70  the model cannot be loaded or cannot generate
    ├── StorageError            74  disk full, quota, read-only, no permission, damaged files
    ├── Interrupted             75  told to stop; the same command goes on from here
    ├── AccessDenied            77  the Hub or a server says no: token, gated model, repo of somebody else
    └── ConfigurationError      78  a setting that is wrong, or another than the run's

The endpoint engine adds `ServerGone` and `CostReached` (75).
Slurm adds `SlurmUnavailable` (69), `SlurmRefused` (78), `CrashLoop` and `Unfinished` (70).

The numbers are those of sysexits(3), so that a batch script can tell them apart.
"""

from __future__ import annotations

from typing import ClassVar


class PromptmillError(Exception):
    """What was wrong, the value seen, the choices, and the next command to type."""

    exit_code: ClassVar[int] = 1


class InvalidRows(PromptmillError):
    """Rows of a prompts file that cannot be used, each with file, line and column."""

    exit_code = 65


class NotFound(PromptmillError):
    """A prompts file, a model or a run that is not there."""

    exit_code = 66


class HubUnavailable(PromptmillError):
    """The Hub does not answer, or is not to be asked (`HF_HUB_OFFLINE`)."""

    exit_code = 69


class EngineError(PromptmillError):
    """The model cannot be loaded, or cannot generate."""

    exit_code = 70


class StorageError(PromptmillError):
    """Disk full, quota, read-only, no permission, or a damaged file."""

    exit_code = 74


class Interrupted(PromptmillError):
    """The process was told to stop; what had finished is on disk."""

    exit_code = 75


class AccessDenied(PromptmillError):
    """The Hub, or the server of a model, answered and says no."""

    exit_code = 77


class ConfigurationError(PromptmillError):
    """A setting that is wrong, or another than the one the run was begun with."""

    exit_code = 78
