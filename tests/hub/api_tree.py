"""The hub's listings of a repository's files and folders."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from tests.hub.api_read import stamp
from tests.hub.content import POINTER_SIZE, git_oid
from tests.hub.errors import entry_not_found
from tests.hub.messages import Request, Response, answer
from tests.hub.repos import Commit, File, Repo
from tests.hub.state import REPO, REVISION, Router, State

router = Router()
EXPANDED_PAGE = 50  # entries of a listing with details, as on the Hub


@router.on("GET", REPO + r"/tree" + REVISION + r"(?:/(?P<folder>.+))?")
def tree(state: State, request: Request, kind: str, name: str, revision: str, folder: str | None) -> Response:
    """A folder's entries, a page at a time."""
    repo, _ = state.repo(request, kind, name)
    commit = repo.at(revision)
    prefix = f"{folder.strip('/')}/" if folder else ""
    if prefix and not any(path.startswith(prefix) for path in commit.files):
        raise entry_not_found(prefix, commit.oid)
    recursive, expand = request.flag("recursive"), request.flag("expand")
    paths = _listing(commit.files, prefix, recursive=recursive)
    size = min(state.settings.page_size, EXPANDED_PAGE) if expand else state.settings.page_size
    start = int(request.query.get("cursor", ["0"])[0])
    page = [_entry(state, repo, commit, path, expand=expand) for path in paths[start : start + size]]
    headers = {}
    if start + size < len(paths):
        query = urlencode({**{key: values[0] for key, values in request.query.items()}, "cursor": start + size})
        headers["Link"] = f'<{state.urls["hub"]}{request.path}?{query}>; rel="next"'
    return answer(page, headers=headers)


@router.on("POST", REPO + r"/paths-info" + REVISION)
def paths_info(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """Entries for the paths that exist among those asked for."""
    repo, _ = state.repo(request, kind, name)
    commit = repo.at(revision)
    if "json" in request.headers.get("content-type", ""):
        asked = request.json()
        paths, expand = asked["paths"], bool(asked.get("expand"))
    else:
        form = parse_qs(request.body.decode())
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    known = _listing(commit.files, "", recursive=True)
    wanted = [path.strip("/") for path in paths]
    return answer([_entry(state, repo, commit, path, expand=expand) for path in wanted if path in known])


def _listing(files: Mapping[str, File], prefix: str, *, recursive: bool) -> list[str]:
    """Paths of files and folders below the prefix, in order."""
    found = set()
    for path in files:
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            found |= {prefix + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1 if recursive else 2)}
    return sorted(found)


def _entry(state: State, repo: Repo, commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
    if (file := commit.files.get(path)) is None:
        entry = {"type": "directory", "oid": git_oid(path.encode()), "size": 0, "path": path}
    else:
        file = state.published(file)
        entry = {"type": "file", "oid": file.oid, "size": file.content.size, "path": path}
        if file.lfs:
            entry["lfs"] = {"oid": file.content.sha256, "size": file.content.size, "pointerSize": POINTER_SIZE}
        if file.xet_hash:
            entry["xetHash"] = file.xet_hash
        if expand:
            status = "unsafe" if path in repo.unsafe else "safe"
            scan = {"status": status}
            entry["securityFileStatus"] = {"status": status, "avScan": scan, "pickleImportScan": scan}
    if expand:
        last = _last_change(repo, commit, path)
        entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": stamp(last.date)}
    return entry


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit, at or before this one, whose predecessor had another file at the path."""
    last = commit
    for older in repo.history(commit.oid):
        if older.files.get(path) != commit.files.get(path):
            break
        last = older
    return last
