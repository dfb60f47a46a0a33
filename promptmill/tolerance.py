"""What a run puts up with before it is stopped; none of it changes the bytes of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from promptmill.errors import ConfigurationError

STALL_SECONDS = 900.0
MAX_ERROR_SHARE = 0.5


@dataclass(frozen=True)
class Tolerance:
    """When to give up.

    Attributes:
        stall_seconds: how long no forward pass may end; None watches nothing.
        max_error_share: the largest share of rows that may end in error, from 0 to 1.

    Raises:
        ConfigurationError: one of them makes no sense.
    """

    stall_seconds: float | None = STALL_SECONDS
    max_error_share: float = MAX_ERROR_SHARE

    def __post_init__(self) -> None:
        if self.stall_seconds is not None and self.stall_seconds <= 0:
            raise ConfigurationError(f"--stall-timeout is {self.stall_seconds}; it is a time such as 15m, or none.")
        if not 0 <= self.max_error_share <= 1:
            raise ConfigurationError(
                f"--max-error-share is {self.max_error_share}; it is a share of the rows from 0 to 1, as 0.5."
            )


USUAL = Tolerance()
"""Where nothing else is asked for."""
