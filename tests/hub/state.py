"""All that the hub knows, and the look-ups that every endpoint needs."""

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.hub.accounts import Accounts, Token, check_visible
from tests.hub.content import Content
from tests.hub.errors import HubError
from tests.hub.messages import Request, Response, answer
from tests.hub.repos import File, Repo
from tests.hub.xet_store import XetStore

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass
class Settings:
    """How this hub serves."""

    page_size: int = 1000  # entries of a tree listing in one answer
    part_size: int = 64 * 1024 * 1024  # LFS uploads above it come in parts of it
    xet_for_added: bool = False  # whether large files that tests add can be had from Xet storage
    xorb_grants: bool = False  # whether xorbs go straight to the CDN, for which hf_xet asks first


@dataclass
class State:
    """Shared by the three origins; `lock` is held while repositories change."""

    settings: Settings
    urls: dict[str, str] = field(default_factory=dict)  # of each origin
    accounts: Accounts = field(default_factory=Accounts)
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    renamed: dict[tuple[str, str], str] = field(default_factory=dict)
    blobs: dict[str, Content] = field(default_factory=dict)  # LFS storage, by sha256
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)  # of LFS uploads under way, by sha256
    xet: XetStore = field(default_factory=XetStore)
    granted: dict[str, bytes] = field(default_factory=dict)  # xorbs on the CDN that are not committed yet
    xet_tokens: dict[str, float] = field(default_factory=dict)  # to the time at which they expire
    lock: threading.RLock = field(default_factory=threading.RLock)

    def token(self, request: Request) -> Token | None:
        """The sender's token; 401 if it is not valid."""
        return self.accounts.authenticate(request.headers.get("authorization"))

    def repo(self, request: Request, kind: str | None, name: str) -> tuple[Repo, Token | None]:
        """The repository that a URL names (`kind` as it stands there, None for models), if the sender may see it."""
        token, kind = self.token(request), KINDS[kind or "models"]
        return check_visible(self.repos.get((kind, self.renamed.get((kind, name), name))), token), token

    def stored(self, sha256: str) -> File | None:
        """A large file by its digest, wherever it was uploaded to."""
        if sha256 not in self.blobs and (content := self.xet.content(sha256)) is not None:
            self.blobs[sha256] = content
        if sha256 not in self.blobs:
            return None
        return File(self.blobs[sha256], lfs=True, xet_hash=self.xet.by_sha256.get(sha256))

    def published(self, file: File) -> File:
        """The file, made known to the storage that its links lead to."""
        if not file.lfs:
            return file
        self.blobs.setdefault(file.content.sha256, file.content)
        if file.xet_hash is None and self.settings.xet_for_added:
            self.xet.seed(file.content)
        return File(file.content, lfs=True, xet_hash=self.xet.by_sha256.get(file.content.sha256))

    def signed(self, path: str) -> str:
        """A URL of the CDN that needs no token."""
        return f"{self.urls['cdn']}{path}?Expires={int(time.time()) + 3600}&Signature={secrets.token_hex(8)}"


Handler = Callable[..., Response]


class Router:
    """Endpoints, its own or those of other routers: the first pattern that matches the whole (quoted) path wins."""

    def __init__(self, *others: "Router") -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [r for other in others for r in other._routes]

    def on(self, methods: str, pattern: str) -> Callable[[Handler], Handler]:
        """Register a handler for the methods (separated by blanks); named groups become its arguments, unquoted."""

        def register(handler: Handler) -> Handler:
            for method in methods.split():
                self._routes.append((method, re.compile(pattern), handler))
            return handler

        return register

    def handle(self, state: State, request: Request) -> Response:
        """Answer a request; errors of the Hub become answers of the Hub."""
        try:
            for method, pattern, handler in self._routes:
                if method == request.method and (found := pattern.fullmatch(request.path)):
                    groups = {key: value and unquote(value) for key, value in found.groupdict().items()}
                    return handler(state, request, **groups)
            raise HubError(404, f"no such endpoint: {request.method} {request.path}")
        except HubError as error:
            headers = {"X-Error-Message": error.message, **error.headers}
            if error.code:
                headers["X-Error-Code"] = error.code
            return answer({"error": error.message}, error.status, headers)


# Parts of patterns: a repository with or without namespace, and a quoted revision.
REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+(?:/[^/]+)?)"
BARE_REPO = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+(?:/[^/]+)?)"
REVISION = r"/(?P<revision>[^/]+)"
