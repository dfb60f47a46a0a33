"""What a run has to ask of the Hub, and whether it can go on where the Hub cannot be asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from promptmill.errors import HubUnavailable
from promptmill.files import read_json
from promptmill.hub.account import token_source
from promptmill.hub.auth import Access, check_access, check_target
from promptmill.hub.claim import Claim
from promptmill.hub.errors import endpoint
from promptmill.model import is_at_hand, is_in_cache, kind_of
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)

# An answer that could not be had is asked for again after so many seconds.
_UNANSWERED_SECONDS = 600


@dataclass(frozen=True)
class Questions:
    """What the Hub has to say yes to; None is no question.

    Attributes:
        model: to be read from the Hub.
        publish_to: to be written.
        private: whether the dataset is not to be seen by everybody.
        overwrite: whether what is there may be replaced.
    """

    model: str | None
    publish_to: str | None
    private: bool = False
    overwrite: bool = False

    @classmethod
    def of(cls, run: RunFolder, publish_to: str | None, *, private: bool = False, overwrite: bool = False) -> Questions:
        """What a run has to ask: nothing for a model that is on disk already."""
        settings = run.settings
        needed = (
            settings.loads_model
            and kind_of(settings.model) == "hub"
            and not is_at_hand(
                settings.model, settings.revision, run.data, run.model, remote_code=settings.trust_remote_code
            )
        )
        return cls(settings.model if needed else None, publish_to, private, overwrite)

    @property
    def none(self) -> bool:
        """Whether nothing is to be asked."""
        return self.model is None and self.publish_to is None

    def answered_by(self, access: Access, *, max_age: float, now: float) -> bool:
        """Whether an earlier answer still counts: the same Hub and login, and not too old."""
        believed = max_age if access.answered else min(max_age, _UNANSWERED_SECONDS)
        return (
            0 <= now - access.checked_at < believed
            and access.endpoint == endpoint()
            and self.model in (None, access.model)
            and self.publish_to in (None, access.publish_to)
            and (self.publish_to is None or (access.private or not self.private))
            and (self.publish_to is None or (self.overwrite or not access.overwrite))
            and (not access.answered or access.account is None or access.account.source == token_source())
        )


def admit(run: RunFolder, questions: Questions, *, now: float) -> Access:
    """Ask the Hub; where it cannot be asked, go on if all that is needed before publishing is on this disk.

    Raises:
        As `check_access`.
    """
    try:
        return check_access(
            questions.model,
            questions.publish_to,
            now=now,
            overwrite=questions.overwrite,
            private=questions.private,
            claim=Claim.of(run),
        )
    except HubUnavailable as error:
        settings = run.settings
        if questions.model is not None and not is_in_cache(
            questions.model, settings.revision, remote_code=settings.trust_remote_code
        ):
            raise
        logger.warning("%s", error)
        logger.warning(
            "Going on with what is on this disk%s.",
            f"; whether {questions.publish_to} may be written is asked again before publishing"
            if questions.publish_to
            else "",
        )
        return Access(
            endpoint(),
            None,
            questions.model,
            questions.publish_to,
            answered=False,
            checked_at=now,
            private=questions.private,
            overwrite=questions.overwrite,
        )


def require_still_fitting(run: RunFolder, publish_to: str, *, private: bool, overwrite: bool) -> None:
    """Once more is known of the run: is the dataset repository, if it is there already, this run's?

    A Hub that could not be asked before, or cannot be now, stops nothing: publishing asks again.

    Raises:
        As `check_target`.
    """
    recorded = read_json(run.auth)
    access = Access.from_json(recorded) if recorded is not None else None
    if access is None or not access.answered:
        return
    try:
        check_target(publish_to, Claim.of(run), private=private, overwrite=overwrite)
    except HubUnavailable as error:
        logger.warning("%s", error)
        logger.warning("Going on; whether %s is this run's is asked again before publishing.", publish_to)
