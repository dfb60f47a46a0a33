"""Users, organisations and tokens, and who may read or write where."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hub.errors import HubError, repository_not_found
from tests.hub.repos import Repo

ROLES = ("read", "write", "fineGrained")


@dataclass(frozen=True)
class User:
    """A person; `orgs` maps each organisation to the role in it (read, contributor, write or admin)."""

    name: str
    orgs: Mapping[str, str]


@dataclass
class Token:
    """`scopes` (of a fineGrained token alone) are the namespaces and repositories that it may write to."""

    value: str
    user: User
    role: str
    scopes: frozenset[str] = frozenset()
    uses_left: int | None = None  # None: until it is revoked


@dataclass
class Accounts:
    """All that is known of people."""

    tokens: dict[str, Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, token: Token) -> None:
        """Make a token valid."""
        if token.role not in ROLES:
            raise ValueError(f"role {token.role!r}: choose one of {', '.join(ROLES)}")
        self.tokens[token.value] = token

    def authenticate(self, header: str | None) -> Token | None:
        """The token of an `Authorization` header (None without one); 401 if it is unknown or used up."""
        if not header:
            return None
        with self._lock:
            token = self.tokens.get(header.removeprefix("Bearer ").strip())
            if token is None or token.uses_left == 0:
                raise HubError(401, "Invalid credentials in Authorization header")
            if token.uses_left is not None:
                token.uses_left -= 1
            return token


def may_see(repo: Repo, token: Token | None) -> bool:
    """Whether the repository exists, for this token."""
    if not repo.private:
        return True
    return token is not None and (repo.namespace == token.user.name or repo.namespace in token.user.orgs)


def may_write_in(namespace: str, token: Token, repo_id: str = "") -> bool:
    """Whether the token may write to the repository, or (without one) create repositories in the namespace."""
    own = namespace == token.user.name
    if not own and token.user.orgs.get(namespace) not in ("contributor", "write", "admin"):
        return False
    if token.role == "fineGrained":
        return not token.scopes.isdisjoint({namespace, repo_id})
    return token.role == "write"


def check_visible(repo: Repo | None, token: Token | None) -> Repo:
    """The repository, or the answer that hides whether it exists."""
    if repo is None or not may_see(repo, token):
        raise repository_not_found(anonymous=token is None)
    return repo


def check_gate(repo: Repo, token: Token | None) -> None:
    """403 (401 without a token) unless the repository is open to this user."""
    user = token.user.name if token else None
    if not repo.gated or user in repo.granted or (token and may_write_in(repo.namespace, token, repo.id)):
        return
    restricted, code = f"Access to {repo.kind} {repo.id} is restricted", "GatedRepo"
    if token is None:
        raise HubError(401, f"{restricted}. You must have access to it and be authenticated. Please log in.", code=code)
    if user in repo.pending:
        waiting = f"Your request to access {repo.kind} {repo.id} is awaiting a review from the repo authors."
        raise HubError(403, waiting, code=code)
    raise HubError(403, f"{restricted} and you are not in the authorized list. Visit its page to ask.", code=code)


def check_write(repo: Repo, token: Token | None) -> Token:
    """403 (401 without a token) unless the token may write to the repository."""
    if token is None:
        raise HubError(401, "Invalid username or password.")
    if not may_write_in(repo.namespace, token, repo.id):
        raise HubError(
            403, f"Forbidden: you must use a write token to upload to a repository, or lack rights on {repo.id}"
        )
    return token
