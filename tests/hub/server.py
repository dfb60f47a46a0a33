"""The hub as tests use it: people and repositories to set up, faults to order, and what was seen to look at."""

import secrets
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

from tests.hub import api_cas, api_files, api_lfs, api_read, api_tree, api_write
from tests.hub.accounts import Token, User
from tests.hub.content import Content
from tests.hub.effects import Effect
from tests.hub.faults import Fault
from tests.hub.messages import LoggedRequest
from tests.hub.repos import Commit, File, Repo, belongs_in_lfs
from tests.hub.state import Router, Settings, State
from tests.hub.wire import Origin

ROUTERS = {
    "hub": Router(api_files.hub, api_lfs.hub, api_write.router, api_tree.router, api_read.router),
    "cdn": Router(api_files.cdn, api_lfs.cdn),
    "cas": api_cas.router,
}
Files = Mapping[str, bytes | str | Path] | Path  # contents by path in the repository, or a folder of them


class HubServer:
    """A hub on free ports of 127.0.0.1, from construction until `close` or the end of the `with` block."""

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self.state = State(settings or Settings())
        self.requests: list[LoggedRequest] = []  # in order of arrival
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._origins = {name: Origin(name, self._strike, self.requests.append, port if name == "hub" else 0)
                         for name in ROUTERS}  # fmt: skip
        self.state.urls = {name: origin.url for name, origin in self._origins.items()}
        # A path of its own for every hub: hf_xet's cache believes that what it once sent to a URL is still there.
        self.state.urls["cas"] += f"/{secrets.token_hex(4)}"
        for name, origin in self._origins.items():
            origin.app = partial(ROUTERS[name].handle, self.state)
        for origin in self._origins.values():
            origin.start()

    @property
    def url(self) -> str:
        """For `HF_ENDPOINT`, or `HfApi(endpoint=...)`."""
        return self.state.urls["hub"]

    def close(self) -> None:
        """End all connections and free the ports."""
        for origin in self._origins.values():
            origin.close()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def environment(self, home: Path, *, token: str | None = None, xet: bool = True) -> dict[str, str]:
        """Variables that turn a process's Hugging Face libraries to this hub and away from the user's own files."""
        variables = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                     "HF_HUB_DISABLE_XET": "0" if xet else "1", "NO_PROXY": "127.0.0.1"}  # fmt: skip
        return variables if token is None else {**variables, "HF_TOKEN": token}

    # People

    def add_user(
        self, name: str, *, token: str, role: str = "write", orgs: Iterable[str] | Mapping[str, str] = (),
        scopes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """A user and a token. Organisations without a stated role have the user as one who may write."""
        roles = dict(orgs) if isinstance(orgs, Mapping) else dict.fromkeys(orgs, "write")
        self.state.accounts.add(Token(token, User(name, roles), role, frozenset(scopes)))

    def revoke(self, token: str, *, after: int = 0) -> None:
        """Make a token invalid once it has been used for `after` more requests."""
        self.state.accounts.tokens[token].uses_left = after

    # Repositories

    def add_model(self, repo_id: str, files: Files = {}, **options: object) -> str:  # noqa: B006 (never changed)
        """A model repository; see `add_repo`."""
        return self.add_repo("model", repo_id, files, **options)  # type: ignore[arg-type]

    def add_dataset(self, repo_id: str, files: Files = {}, **options: object) -> str:  # noqa: B006 (never changed)
        """A dataset repository; see `add_repo`."""
        return self.add_repo("dataset", repo_id, files, **options)  # type: ignore[arg-type]

    def add_repo(
        self, kind: str, repo_id: str, files: Files, *, private: bool = False, gated: bool | str = False,
        granted: Iterable[str] = (), pending: Iterable[str] = (), unsafe: Iterable[str] = (),
    ) -> str:  # fmt: skip
        """Make a repository with one commit and return the commit's oid.

        `gated` is True, "auto" or "manual"; `granted` users may read it, `pending` ones wait for an answer;
        `unsafe` names the paths that the security scan warns of (pickles, say).
        """
        gated = "auto" if gated is True else gated
        repo = Repo(kind, repo_id, private, gated, set(granted), set(pending), frozenset(unsafe))
        self.state.repos[kind, repo_id] = repo
        return repo.commit(_as_files(files), "initial commit", author=repo.namespace).oid

    def repo(self, repo_id: str, *, kind: str = "model") -> Repo:
        """The repository itself, to look at or to change (`granted`, `pending`, `private`, `gated`, `tags`)."""
        return self.state.repos[kind, repo_id]

    def commit(
        self, repo_id: str, files: Files, *, kind: str = "model", title: str = "update", branch: str = "main"
    ) -> str:
        """Somebody else's commit: files added or replaced on the branch; returns its oid."""
        repo = self.repo(repo_id, kind=kind)
        with self.state.lock:
            before = repo.at(branch).files
            return repo.commit({**before, **_as_files(files)}, title, author="somebody", branch=branch).oid

    def rename(self, repo_id: str, name: str, *, kind: str = "model") -> None:
        """Give a repository another name; the old one leads to it, as on the Hub."""
        with self.state.lock:
            repo = self.state.repos.pop((kind, repo_id))
            repo.id = name
            self.state.repos[kind, name] = repo
            self.state.renamed[kind, repo_id] = name

    def delete(self, repo_id: str, *, kind: str = "model") -> None:
        """Remove a repository, as its owner does on its page."""
        with self.state.lock:
            del self.state.repos[kind, repo_id]

    def move(self, repo_id: str, oid: str, *, kind: str = "model", branch: str = "main") -> None:
        """Point a branch at a commit of the repository, as a force push would."""
        repo = self.repo(repo_id, kind=kind)
        repo.branches[branch] = repo.at(oid).oid

    def files(self, repo_id: str, *, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """Every file's bytes, by path."""
        commit = self.repo(repo_id, kind=kind).at(revision)
        return {path: file.content.read() for path, file in sorted(commit.files.items())}

    def commits(self, repo_id: str, *, kind: str = "model", revision: str = "main") -> list[Commit]:
        """The history, newest first."""
        return list(self.repo(repo_id, kind=kind).history(revision))

    # Faults and what was seen

    def fail(self, fault: Fault) -> Fault:
        """Order a fault; of several that match a request the one ordered first strikes."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Call off all faults."""
        with self._lock:
            self._faults.clear()

    def uploaded(self) -> int:
        """Bytes of files' content received: LFS objects, xorbs, and files inside commits."""
        return sum(request.content for request in list(self.requests))

    def _strike(self, origin: str, method: str, path: str) -> Effect | None:
        with self._lock:
            faults = list(self._faults)
        return next((fault.effect for fault in faults if fault.strikes(origin, method, path)), None)


def _as_files(files: Files) -> dict[str, File]:
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()}
    return {path: _as_file(path, source) for path, source in files.items()}


def _as_file(path: str, source: bytes | str | Path) -> File:
    content = Content(source.encode() if isinstance(source, str) else source)
    sample = b"".join(content.pieces(0, min(512, content.size)))
    return File(content, lfs=belongs_in_lfs(path, content.size, sample))
