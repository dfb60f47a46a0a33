"""What the Hub client raises, told apart by type and status, and turned into errors with a way out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from promptmill.errors import AccessDenied, ConfigurationError, HubUnavailable, NotFound, PromptmillError
from promptmill.hub.patience import GaveUp
from promptmill.hub.trouble import chain, passing, reason, status_of

LOGIN = "run `hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_errors(repo: str, kind: str = "model") -> Iterator[None]:
    """Translate the client's exceptions about the repository `repo` of `kind` (model, dataset).

    Raises:
        AccessDenied: the Hub says no: gated, or the token may not do this.
        NotFound: there is no such repository or revision (or the token may not see it).
        HubUnavailable: the Hub does not answer, or is not to be asked.
        ConfigurationError: the repository's id is malformed.
    """
    try:
        yield
    except PromptmillError:
        raise
    except Exception as error:
        translated = _translated(error, repo, kind)
        if translated is None:
            raise
        raise translated from error


def prepare_command(model: str, *, remote_code: bool = False) -> str:
    """What fetches a model where there is internet."""
    code = " --trust-remote-code" if remote_code else ""
    return f"luigi --module workflows PrepareModel --model {shlex.quote(model)}{code} --local-scheduler"


def page(repo: str, kind: str) -> str:
    """Where people see a repository."""
    return f"{endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def endpoint() -> str:
    """The Hub that is asked, as it may be written down: without a name and password in its address."""
    from huggingface_hub import constants

    return re.sub(r"(?<=://)[^/@]*@", "", str(constants.ENDPOINT))


def malformed(repo: str, error: Exception) -> ConfigurationError:
    """About an id that cannot be one."""
    return ConfigurationError(f"{repo!r} is not a repository id; write it as `name` or `owner/name`. ({error})")


def _translated(error: Exception, repo: str, kind: str) -> PromptmillError | None:
    from huggingface_hub import errors as client

    links = list(chain(error))
    for link in links:
        if isinstance(link, client.HFValidationError):
            return malformed(repo, link)
        if isinstance(link, client.GatedRepoError):
            return AccessDenied(gated(repo, kind, link))
        if isinstance(link, client.RepositoryNotFoundError):
            return _no_repository(repo, kind)
        if isinstance(link, client.RevisionNotFoundError):
            return NotFound(f"The {kind} {repo} has no such revision; look at {page(repo, kind)}/tree/main.")
        if isinstance(link, client.OfflineModeIsEnabled):
            return _offline(repo, kind)
    status = status_of(error)
    if status is not None:
        return _of_status(status, repo, kind)
    gave_up = next((link for link in links if isinstance(link, GaveUp)), None)
    if gave_up is not None or passing(error) is not None:
        return _no_answer(gave_up or error, repo, kind)
    return None


def gated(repo: str, kind: str, error: Exception) -> str:
    """Why a gated repository is closed, and the way in."""
    from huggingface_hub import get_token

    where = page(repo, kind)
    # The Hub has no other sign for a request that its owner has not answered yet.
    if "awaiting a review" in str(getattr(error, "server_message", None) or error):
        return (
            f"The {kind} {repo} is gated, and the request of this account is pending: its owner has not granted it "
            f"yet. See {where}; start the same command again once it is granted."
        )
    if get_token() is None:
        return f"The {kind} {repo} is gated. Accept its terms on {where}, then {LOGIN} with that account."
    return (
        f"The {kind} {repo} is gated, and this account has not been granted access. Accept its terms on {where}. "
        "A fine-grained token also needs the permission to read public gated repos."
    )


def _no_repository(repo: str, kind: str) -> NotFound:
    local = f" A local folder is given by its path, as in ./{repo.split('/')[-1]}." if kind == "model" else ""
    return NotFound(
        f"The Hub at {endpoint()} has no {kind} {repo}, or this account may not see it. "
        f"Check the spelling; if it is private, {LOGIN}.{local}"
    )


def _offline(repo: str, kind: str) -> HubUnavailable:
    way = f"run `{prepare_command(repo)}` there" if kind == "model" else "run the same command there"
    return HubUnavailable(
        f"HF_HUB_OFFLINE is set, and the {kind} {repo} is needed from the Hub. "
        f"Where there is internet (the login node), {way}; or unset HF_HUB_OFFLINE."
    )


def _no_answer(error: BaseException, repo: str, kind: str) -> HubUnavailable:
    way = f"`{prepare_command(repo)}`" if kind == "model" else "the same command"
    why = str(error) if isinstance(error, GaveUp) else reason(error)
    return HubUnavailable(
        f"The Hub at {endpoint()} does not answer for the {kind} {repo} ({why}). Compute nodes often have no "
        f"internet: run {way} once on the login node; or set HF_ENDPOINT to the Hub you use, or try again later."
    )


def _of_status(status: int, repo: str, kind: str) -> PromptmillError:
    if status == 401:
        return AccessDenied(
            f"The Hub does not accept the token for the {kind} {repo} (HTTP 401): it is invalid, expired or revoked. "
            f"Make one on {endpoint()}/settings/tokens, then {LOGIN}."
        )
    if status == 403:
        return AccessDenied(
            f"The token may not do this with the {kind} {repo} (HTTP 403). To publish, it has to be a write token of "
            f"an account that may write there: {LOGIN}."
        )
    if status == 404:
        return NotFound(f"The Hub at {endpoint()} has no such thing in the {kind} {repo} (HTTP 404).")
    if status == 413:
        return HubUnavailable(f"The Hub does not take as much at once for the {kind} {repo} (HTTP 413).")
    return HubUnavailable(
        f"The Hub at {endpoint()} answers HTTP {status} for the {kind} {repo}. Start the same command again later."
    )
