"""What an error of a server means: a fault of this time, the prompt's, or the end of the run."""

from __future__ import annotations

from typing import Any

from promptmill.endpoint.faults import Broken, Busy, Refused
from promptmill.endpoint.said import Said
from promptmill.errors import AccessDenied, ConfigurationError

REFUSED = (400, 413, 422)
MISSING = (404, 405, 501)
BUSY = (429, 503, 529)
DENIED = (401, 402, 403)
_CODES = {
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "insufficient_balance": 402,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "unavailable": 503,
    "overloaded_error": 529,
    "overloaded": 529,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "invalid_argument": 400,
    "badrequesterror": 400,
    "invalid_request_error": 400,
}
"""The words of OpenAI, Anthropic, Google and vLLM for what others say with a status."""
_OF_MONEY = {word for word, code in _CODES.items() if code == 402}
_OF_MODERATION = ("flagged_input", "reasons", "content_filter_result", "content_filter_results")
_MODERATED = {"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"}


def code_of(error: Any) -> int | None:
    """The status that an error in the body of an answer stands for; None if it does not say."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status_code", "http_code", "status", "type"):
        told = error.get(name)
        if isinstance(told, str) and told.isascii() and told.isdigit():
            told = int(told)
        if type(told) is int and 400 <= told < 600:
            return told
        if isinstance(told, str) and told.lower() in _CODES:
            return _CODES[told.lower()]
    return None


def judged(status: int, said: Said, base: str, *, proxy: str | None = None) -> Exception:
    """The exception that an answer with this status, or with an error of this code in it, is worth.

    Args:
        proxy: which one the answer came through, in words; None if through none.
    """
    error = said.object.get("error")
    where = f"HTTP {said.status}" if status == said.status else f"HTTP {said.status}, in it an error {status}"
    told = f"{where}: {said.message}"
    if status in (403, 400) and _is_moderation(error):
        return Refused(f"the server's moderation refuses the prompt ({told})")
    if status in REFUSED:
        return Refused(f"the server refuses it ({where}): {said.message}")
    if status == 402 or (status in (429, 403) and _words(error) & _OF_MONEY):
        return AccessDenied(
            f"The credits at {base} are used up, or it wants to be paid first ({told.rstrip('.')}). The key itself is "
            "known there. Top up, or name another key with --endpoint-key-env; then start the same command again."
        )
    if status in BUSY:
        return Busy(told, said.retry_after)
    if status == 407 or (status in DENIED and proxy is not None and not said.object):
        return ConfigurationError(refused_by_proxy(base, proxy or "A proxy", told))
    if status in DENIED:
        return AccessDenied(
            f"The server at {base} says no ({told.rstrip('.')}). Name the environment variable that holds your key "
            "with --endpoint-key-env, and look that the key is right."
        )
    if 300 <= status < 400:
        return ConfigurationError(
            f"The server at {base} sends on to {said.location or 'somewhere else'} ({where}), and a key is sent only "
            "where you say. Give the URL that it sends to, without the last /chat/completions or /completions, with "
            "--endpoint-url."
        )
    return Broken(told)


def refused_by_proxy(base: str, proxy: str, told: str) -> str:
    """The text of an error: the proxy lets nothing through to the server."""
    return (
        f"{proxy} does not let requests to {base} through ({told.rstrip('.')}). Put the server's host into no_proxy if "
        "it is reached without the proxy, or have the proxy allow it."
    )


def _words(error: Any) -> set[str]:
    """What names an error, in small letters."""
    if not isinstance(error, dict):
        return set()
    return {told.lower() for name in ("code", "type", "status") if isinstance(told := error.get(name), str)}


def _is_moderation(error: Any) -> bool:
    """Whether the error is about what a prompt says."""
    if not isinstance(error, dict):
        return False
    parts = [error, *(part for name in ("metadata", "innererror") if isinstance(part := error.get(name), dict))]
    return any(_words(part) & _MODERATED or any(part.get(name) for name in _OF_MODERATION) for part in parts)
