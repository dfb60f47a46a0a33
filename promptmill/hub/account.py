"""Whose token huggingface_hub uses, where it comes from, and what it may do. Never the token itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITING_ROLES = ("contributor", "write", "admin")


@dataclass(frozen=True)
class Account:
    """What the Hub says about the token; nothing secret is in it.

    Attributes:
        source: where the token came from, in words.
        role: `read`, `write` or `fineGrained`; `other` for what the Hub adds to these.
        organisations: name → role of the user in it.
        writable: of a fine-grained token, the namespaces and repositories that it may write to;
            None for any other token, or where the Hub did not say.
    """

    user: str
    source: str
    role: str
    organisations: dict[str, str]
    writable: tuple[str, ...] | None = None

    def may_write_in(self, namespace: str) -> bool:
        """Whether the user belongs to the namespace as one who may write."""
        return namespace == self.user or self.organisations.get(namespace) in _WRITING_ROLES

    def may_write_to(self, repo: str) -> bool:
        """Whether the token's own limits allow to write to the repository."""
        return self.writable is None or not {repo, repo.split("/")[0]}.isdisjoint(self.writable)

    def __str__(self) -> str:
        kind = {"fineGrained": "fine-grained"}.get(self.role, self.role)
        orgs = ", ".join(f"{name} ({role})" for name, role in self.organisations.items()) or "none"
        return f"{self.user}, by a {kind} token from {self.source}; organisations: {orgs}"


def token_source() -> str | None:
    """Where huggingface_hub takes the token from, in its own order; None if there is none."""
    from huggingface_hub import constants, get_token

    if get_token() is None:
        return None
    if os.environ.get("HF_OIDC_RESOURCE"):
        return "the CI's identity (HF_OIDC_RESOURCE)"
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable, "").strip():
            return variable
    return "the login stored by `hf auth login`" if Path(constants.HF_TOKEN_PATH).exists() else "the notebook's vault"


def who() -> Account | None:
    """Ask the Hub whose token it is; None without a token.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    from huggingface_hub import HfApi

    source = token_source()
    if source is None:
        return None
    answer = HfApi().whoami()
    token = answer.get("auth", {}).get("accessToken", {})
    organisations = {org["name"]: org.get("roleInOrg", "member") for org in answer.get("orgs", [])}
    return Account(answer["name"], source, token.get("role", "other"), organisations, _writable(token))


def _writable(token: dict[str, Any]) -> tuple[str, ...] | None:
    scoped = token.get("fineGrained", {}).get("scoped") if token.get("role") == "fineGrained" else None
    if scoped is None:
        return None
    return tuple(scope["entity"]["name"] for scope in scoped if "repo.write" in scope.get("permissions", ()))
