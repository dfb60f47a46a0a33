"""Before anything is downloaded or queued: may this account read the model, and write the dataset?"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from difflib import get_close_matches

from promptmill.errors import AccessDenied, ConfigurationError, NotFound
from promptmill.hub.account import Account, who
from promptmill.hub.claim import Claim
from promptmill.hub.errors import LOGIN, endpoint, hub_errors
from promptmill.hub.existing import require_ours, require_private, say_if_renamed, say_what_goes
from promptmill.hub.patience import CHECKING, Patience
from promptmill.hub.remote import head_if_any
from promptmill.hub.session import patient

logger = logging.getLogger(__name__)
_NOBODY = Claim()


@dataclass(frozen=True)
class Access:
    """What was asked of the Hub and allowed; nothing secret is in it.

    Attributes:
        endpoint: the Hub that was asked.
        account: whose token, from where, of which kind; None without one, which public models allow.
        model: the Hub model that may be read; None where none was to be.
        publish_to: the dataset that may be written; None if nothing is published.
        answered: False if the Hub could not be asked, and nothing but publishing needs it.
        checked_at: seconds since the epoch.
        private: whether the dataset was asked to be private.
        overwrite: whether it may replace what is there.
    """

    endpoint: str
    account: Account | None
    model: str | None
    publish_to: str | None
    answered: bool
    checked_at: float
    private: bool = False
    overwrite: bool = False

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Access | None:
        """What was written down; None if another version wrote it."""
        try:
            account = value.pop("account")
            return cls(account=Account(**account) if isinstance(account, dict) else None, **value)  # type: ignore[arg-type]
        except (KeyError, TypeError):
            return None


def check_access(
    model: str | None,
    publish_to: str | None,
    *,
    now: float,
    overwrite: bool = False,
    private: bool = False,
    claim: Claim = _NOBODY,
    patience: Patience = CHECKING,
) -> Access:
    """Ask the Hub; no network where nothing is to be asked.

    Args:
        claim: the run that the dataset is published from, as far as it is known.

    Raises:
        AccessDenied: no, with the page to open or the command to log in with.
        ConfigurationError: an id is malformed, or belongs to a repository of another kind; or the dataset is there,
            and is another run's, or public where it was to be private.
        NotFound: no such model.
        HubUnavailable: no answer.
    """
    if publish_to is not None:
        checked_dataset_id(publish_to)
    if model is None and publish_to is None:
        return Access(endpoint(), None, None, None, True, now)
    with patient(patience):
        account = _account(model, publish_to)
        logger.info("Hub %s: %s.", endpoint(), account or "no token; public models only")
        if model is not None:
            _require_readable(model)
        if publish_to is not None:
            _require_writable(publish_to, account)
            _require_fitting(publish_to, claim, private=private, overwrite=overwrite)
    return Access(endpoint(), account, model, publish_to, True, now, private, overwrite)


def check_target(
    publish_to: str, claim: Claim, *, private: bool, overwrite: bool, patience: Patience = CHECKING
) -> None:
    """Ask again whether the dataset repository is this run's, when more is known of the run.

    Raises:
        As `check_access`.
    """
    with patient(patience):
        _require_fitting(publish_to, claim, private=private, overwrite=overwrite)


def checked_dataset_id(repo: str) -> str:
    """An id that a dataset can have.

    Raises:
        ConfigurationError: it is not OWNER/NAME.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigurationError(f"--publish-to {repo!r} is not a repository id; write it as OWNER/NAME.") from error
    if repo.count("/") != 1:
        raise ConfigurationError(f"--publish-to {repo!r} lacks an owner; write it as OWNER/NAME, as in alice/{repo}.")
    return repo


def _account(model: str | None, publish_to: str | None) -> Account | None:
    with hub_errors(model or publish_to or "", "model" if model else "dataset"):
        return who()


def _require_readable(model: str) -> None:
    from huggingface_hub import HfApi

    try:
        with hub_errors(model):
            HfApi().auth_check(model)
    except NotFound:
        if _exists(model, "dataset"):
            raise ConfigurationError(
                f"--model {model} is a dataset on the Hub, not a model. Choose a model; prompts are given by --prompts."
            ) from None
        raise


def _require_writable(dataset: str, account: Account | None) -> None:
    from huggingface_hub import HfApi

    _require_rights(dataset, account)
    try:
        with hub_errors(dataset, "dataset"):
            HfApi().auth_check(dataset, repo_type="dataset", write=True)
    except NotFound:
        if _exists(dataset, "model"):
            raise ConfigurationError(
                f"--publish-to {dataset} is a model on the Hub. Choose another name for the dataset."
            ) from None


def _require_fitting(dataset: str, claim: Claim, *, private: bool, overwrite: bool) -> None:
    with hub_errors(dataset, "dataset"):
        remote = head_if_any(dataset, "dataset")
        if remote is None:
            return  # It is made when the dataset is published.
        say_if_renamed(dataset, remote)
        if private:
            require_private(dataset, remote)
        if overwrite:
            say_what_goes(dataset, remote, claim)
        else:
            require_ours(dataset, remote, claim)


def _require_rights(dataset: str, account: Account | None) -> None:
    """What the account's own description rules out; the Hub has the last word where the repository exists."""
    if account is None:
        raise AccessDenied(f"--publish-to {dataset} needs a login with a write token: {LOGIN}.")
    if account.role == "read":
        raise AccessDenied(
            f"--publish-to {dataset} needs a write token, and the one of {account.user} (from {account.source}) is "
            f"read-only. Make a write token on {endpoint()}/settings/tokens, then {LOGIN}."
        )
    owner = dataset.split("/")[0]
    if not account.may_write_in(owner):
        writable = [account.user, *(name for name in account.organisations if account.may_write_in(name))]
        near = _nearest(owner, writable)
        meant = f" Did you mean {near}/{dataset.split('/')[1]}?" if near else ""
        raise AccessDenied(
            f"--publish-to {dataset}: {account.user} may not write to {owner}.{meant} Choose one of "
            f"{', '.join(writable)}, or ask an administrator of {owner} for the role `write`."
        )
    if not account.may_write_to(dataset):
        raise AccessDenied(
            f"--publish-to {dataset}: the fine-grained token of {account.user} (from {account.source}) may not write "
            f"there. Add the permission for {dataset} or {owner} on {endpoint()}/settings/tokens."
        )


def _nearest(owner: str, writable: list[str]) -> str | None:
    by_letters = {name.casefold(): name for name in reversed(writable)}
    near = get_close_matches(owner.casefold(), by_letters, n=1, cutoff=0.75)
    return by_letters[near[0]] if near else None


def _exists(repo: str, kind: str) -> bool:
    from huggingface_hub import HfApi

    with hub_errors(repo, kind):
        return HfApi().repo_exists(repo, repo_type=kind)
