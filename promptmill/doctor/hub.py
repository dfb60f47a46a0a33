"""Whether the Hub answers, and who it takes this user for. Never the token itself."""

from __future__ import annotations

import logging
import time

from promptmill.doctor.values import Finding
from promptmill.errors import AccessDenied, PromptmillError
from promptmill.hub.account import Account, token_source, who
from promptmill.hub.errors import LOGIN, endpoint, hub_errors
from promptmill.hub.patience import Patience
from promptmill.hub.session import patient

_QUICK = Patience(total_seconds=15, request_seconds=10, connect_tries=2)


def check_hub(patience: Patience = _QUICK) -> list[Finding]:
    """Two findings: the Hub, and the login."""
    from huggingface_hub import constants

    source = token_source()
    if constants.HF_HUB_OFFLINE:
        says = "HF_HUB_OFFLINE is set: only what is on this disk is used"
        return [Finding("Hub", "warn", says, "Unset it to download or publish."), _not_asked(source)]
    logging.getLogger("promptmill").setLevel(logging.ERROR)  # it tells of each try
    begun = time.monotonic()
    try:
        account = _asked(source, patience)
    except AccessDenied as error:
        return [_reached(begun), Finding("login", "fail", f"the token from {source} is refused", str(error))]
    except PromptmillError:
        do = (
            f"See whether `curl -I {endpoint()}` answers here. Compute nodes often have no internet: fetch the model "
            "on the login node (luigi --module workflows PrepareModel), and set HF_HUB_OFFLINE=1 here. "
            "HF_ENDPOINT names another Hub."
        )
        return [Finding("Hub", "fail", f"{endpoint()} does not answer", do), _not_asked(source)]
    return [_reached(begun), _login(account)]


def _asked(source: str | None, patience: Patience) -> Account | None:
    with patient(patience), hub_errors("", "model"):
        if source is not None:
            return who()
        _require_answer()
        return None


def _require_answer() -> None:
    """Ask for something that needs no token; any answer but the Hub's own trouble will do."""
    from huggingface_hub import get_session

    response = get_session().get(f"{endpoint()}/api/models/gpt2")
    if response.status_code >= 500:
        response.raise_for_status()


def _reached(begun: float) -> Finding:
    return Finding("Hub", "pass", f"{endpoint()} answers, in {time.monotonic() - begun:.1f} s")


def _not_asked(source: str | None) -> Finding:
    return Finding("login", "warn", f"not asked about; {f'there is a token from {source}' if source else 'no token'}")


def _login(account: Account | None) -> Finding:
    if account is None:
        return Finding("login", "warn", "no token: public models only, and no publishing", f"To log in: {LOGIN}.")
    if account.role == "read":
        return Finding("login", "pass", f"{account}; it can read, and not publish")
    return Finding("login", "pass", str(account))
