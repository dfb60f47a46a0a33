"""Who am I on the Hub, may I read this model, may I write to that dataset."""

from __future__ import annotations

from dataclasses import dataclass

from promptmill.errors import AccessDenied
from promptmill.hub.errors import hub_errors


@dataclass(frozen=True)
class Access:
    """What was asked of the Hub and allowed; nothing secret is in it.

    Attributes:
        user: whose token it is; None without one, which public models allow.
        token_role: `read`, `write` or `fineGrained`; None without a token.
        model: the Hub model that may be read; None for a local one.
        publish_to: the dataset that may be written; None if nothing is published.
        checked_at: seconds since the epoch.
    """

    user: str | None
    token_role: str | None
    model: str | None
    publish_to: str | None
    checked_at: float


def check_access(model: str | None, publish_to: str | None, *, now: float) -> Access:
    """Ask the Hub before anything is downloaded or queued; no network where nothing is to be asked.

    Raises:
        AccessDenied: no, with the page to open or the command to log in with.
        NotFound: no such model.
        HubUnavailable: no answer.
    """
    if model is None and publish_to is None:
        return Access(None, None, None, None, now)
    user, role = _who(model or publish_to or "")
    if model is not None:
        _require_readable(model)
    if publish_to is not None:
        _require_writable(publish_to, user, role)
    return Access(user, role, model, publish_to, now)


def _who(repo: str) -> tuple[str | None, str | None]:
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        return None, None
    with hub_errors(repo):
        answer = HfApi().whoami()
    return answer["name"], answer.get("auth", {}).get("accessToken", {}).get("role")


def _require_readable(model: str) -> None:
    from huggingface_hub import HfApi

    with hub_errors(model):
        HfApi().auth_check(model)


def _require_writable(dataset: str, user: str | None, role: str | None) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    if user is None:
        raise AccessDenied(
            f"--publish-to {dataset} needs a login: run `hf auth login` with a write token, or set HF_TOKEN."
        )
    if role == "read":
        raise AccessDenied(
            f"--publish-to {dataset} needs a write token, and the one of {user} may only read. "
            "Make one on the Hub's page Settings > Access Tokens, then run `hf auth login`."
        )
    with hub_errors(dataset, "dataset"):
        try:
            HfApi().auth_check(dataset, repo_type="dataset", write=True)
        except RepositoryNotFoundError:
            return  # It is made when the dataset is published.
