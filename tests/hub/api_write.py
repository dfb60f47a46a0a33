"""The hub's endpoints that change something: repositories, branches and tags, commits."""

import base64
import fnmatch
import json
from typing import Any

import yaml

from tests.hub.accounts import check_write, may_write_in
from tests.hub.api_read import card_data, page
from tests.hub.content import Content
from tests.hub.errors import HubError, repository_not_found
from tests.hub.messages import Request, Response, answer
from tests.hub.repos import GITATTRIBUTES, File, Repo, belongs_in_lfs
from tests.hub.state import REPO, REVISION, Router, State

router = Router()


@router.on("POST", r"/api/repos/create")
def create(state: State, request: Request) -> Response:
    """Make a repository with a first commit; 409 if it exists."""
    token, asked = state.token(request), request.json()
    if token is None:
        raise HubError(401, "Invalid username or password.")
    kind, namespace = asked.get("type", "model"), asked.get("organization") or token.user.name
    if not may_write_in(namespace, token, f"{namespace}/{asked['name']}"):
        raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
    repo = Repo(kind, f"{namespace}/{asked['name']}", private=asked.get("visibility") == "private")
    url = state.urls["hub"] + page(kind, repo.id)
    with state.lock:
        if (kind, repo.id) in state.repos:
            error = f"You already created this {kind} repo: {repo.id}"
            return answer({"error": error, "url": url}, 409, {"X-Error-Message": error})
        repo.commit({".gitattributes": File(Content(GITATTRIBUTES), lfs=False)}, "initial commit",
                    author=token.user.name)  # fmt: skip
        state.repos[kind, repo.id] = repo
    return answer({"url": url, "name": repo.id, "id": repo.id})


@router.on("DELETE", r"/api/repos/delete")
def delete(state: State, request: Request) -> Response:
    """Remove a repository and its history."""
    token, asked = state.token(request), request.json()
    namespace = asked.get("organization") or (token.user.name if token else "")
    key = (asked.get("type", "model"), f"{namespace}/{asked['name']}")
    with state.lock:
        if key not in state.repos:
            raise repository_not_found(anonymous=token is None)
        check_write(state.repos[key], token)
        del state.repos[key]
    return answer({})


@router.on("PUT", REPO + r"/settings")
def settings(state: State, request: Request, kind: str, name: str) -> Response:
    """Change who may see a repository."""
    repo, token = state.repo(request, kind, name)
    check_write(repo, token)
    asked = request.json()
    repo.private = asked.get("private", asked.get("visibility", "private" if repo.private else "public") == "private")
    repo.gated = asked.get("gated", repo.gated)
    return answer({"private": repo.private, "gated": repo.gated})


@router.on("POST", r"/api/validate-yaml")
def validate_yaml(state: State, request: Request) -> Response:
    """Whether a README's front matter can be read."""
    try:
        card_data(request.json()["content"])
    except yaml.YAMLError as error:
        return answer({"errors": [{"message": str(error)}], "warnings": []}, 400)
    return answer({"errors": [], "warnings": []})


@router.on("POST DELETE", REPO + r"/branch" + REVISION)
def branch(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """Make or remove a branch."""
    repo, token = state.repo(request, kind, name)
    check_write(repo, token)
    start = request.json().get("startingPoint", "main") if request.method == "POST" else None
    return _move(state, repo.branches, revision, repo.at(start).oid if start else None)


@router.on("POST DELETE", REPO + r"/tag" + REVISION)
def tag(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """Make or remove a tag."""
    repo, token = state.repo(request, kind, name)
    check_write(repo, token)
    if request.method == "DELETE":  # where the tag's own name is in the URL
        return _move(state, repo.tags, revision, None)
    return _move(state, repo.tags, request.json()["tag"], repo.at(revision).oid)


def _move(state: State, refs: dict[str, str], name: str, oid: str | None) -> Response:
    """Make a reference (409 if it exists) or, without a commit, remove it (404 if it does not)."""
    with state.lock:
        if (oid is None) is (name not in refs):
            raise HubError(409, f"Reference already exists: {name}") if oid else HubError(404, f"No such ref: {name}")
        if oid is None:
            del refs[name]
        else:
            refs[name] = oid
    return answer({})


@router.on("POST", REPO + r"/preupload" + REVISION)
def preupload(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """How each file is to be sent, and what the repository holds in its place."""
    repo, token = state.repo(request, kind, name)
    check_write(repo, token)
    commit, asked = repo.at(revision), request.json()
    ignored = [line.strip() for line in asked.get("gitIgnore", "").splitlines() if line.strip()]
    files = []
    for file in asked["files"]:
        path, sample = file["path"], base64.b64decode(file.get("sample", ""))
        known = commit.files.get(path)
        files.append({
            "path": path,
            "uploadMode": "lfs" if belongs_in_lfs(path, file["size"], sample) else "regular",
            "shouldIgnore": any(fnmatch.fnmatch(path, pattern) for pattern in ignored),
            "oid": known.etag if known else None,
        })  # fmt: skip
    return answer({"files": files, "commitOid": commit.oid})


@router.on("POST", REPO + r"/lfs-files/duplicate")
def duplicate(state: State, request: Request, kind: str, name: str) -> Response:
    """Large files copied between repositories: storage is shared here, there is nothing to do."""
    state.repo(request, kind, name)
    return answer({"success": [], "failed": []})


@router.on("POST", REPO + r"/commit" + REVISION)
def commit(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """Apply a list of operations, one a line, to a branch: all of them or none."""
    repo, token = state.repo(request, kind, name)
    author = check_write(repo, token).user.name
    if "create_pr" in request.query:
        raise HubError(501, "this hub knows no pull requests")
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    with state.lock:
        head = repo.at(revision)
        files = dict(head.files)
        for line in lines:
            _apply(state, request, files, line["key"], line["value"])
        made = repo.commit(
            files, header["summary"], message=header.get("description", ""), author=author,
            branch=revision.removeprefix("refs/heads/"), expected_parent=header.get("parentCommit"),
        )  # fmt: skip
    url = f"{state.urls['hub']}{page(repo.kind, repo.id)}/commit/{made.oid}"
    return answer({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _apply(state: State, request: Request, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
    """One operation of a commit."""
    if key == "header":
        return
    path = value["path"].strip("/")
    if key == "file":
        data = base64.b64decode(value["content"])
        request.log.content += len(data)
        files[path] = File(Content(data), lfs=False)
    elif key == "lfsFile":
        files[path] = _large(state, path, value["oid"])
    elif key == "deletedFile":
        if files.pop(path, None) is None:
            raise HubError(404, f"A file with this name doesn't exist: {path}", code="EntryNotFound")
    elif key == "deletedFolder":
        for inside in [known for known in files if known.startswith(f"{path}/")]:
            del files[inside]
    else:
        raise HubError(400, f"unknown operation in a commit: {key}")


def _large(state: State, path: str, sha256: str) -> File:
    try:
        file = state.stored(sha256)
    except ValueError as error:
        raise HubError(400, f"{path}: {error}") from error
    if file is None:
        raise HubError(
            400, f"Your push was rejected because an LFS pointer pointed to a file that does not exist: {path}"
        )
    return file
