"""The hub's endpoints that change nothing: who am I, what is in a repository."""

import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import yaml

from tests.hub.accounts import Token, check_gate, check_write
from tests.hub.content import POINTER_SIZE, git_oid
from tests.hub.errors import HubError
from tests.hub.messages import Request, Response, answer
from tests.hub.repos import Commit, File, Repo
from tests.hub.state import REPO, REVISION, Router, State

router = Router()
ALWAYS = ("_id", "id")  # told even where `expand` names other fields


def stamp(moment: datetime) -> str:
    """A moment as the Hub writes it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@router.on("GET", r"/api/whoami-v2")
def whoami(state: State, request: Request) -> Response:
    """Who the token belongs to, and what it may do."""
    token = state.token(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    user = token.user
    access: dict[str, Any] = {"displayName": "test", "role": token.role, "createdAt": stamp(datetime.now(timezone.utc))}
    if token.role == "fineGrained":
        access["fineGrained"] = {
            "canReadGatedRepos": True,
            "global": [],
            "scoped": [{"entity": _entity(scope, user.name), "permissions": ["repo.content.read", "repo.write"]}
                       for scope in sorted(token.scopes)],
        }  # fmt: skip
    return answer({
        "type": "user", "id": git_oid(user.name.encode())[:24], "name": user.name, "fullname": user.name.title(),
        "email": f"{user.name}@example.com", "emailVerified": True, "isPro": False, "avatarUrl": "",
        "orgs": [{"type": "org", "id": git_oid(name.encode())[:24], "name": name, "fullname": name,
                  "roleInOrg": role, "isEnterprise": False} for name, role in user.orgs.items()],
        "auth": {"type": "access_token", "accessToken": access},
    })  # fmt: skip


def _entity(scope: str, user: str) -> dict[str, str]:
    kind = "model" if "/" in scope else "user" if scope == user else "org"
    return {"_id": git_oid(scope.encode())[:24], "type": kind, "name": scope}


@router.on("GET HEAD", r"/api/telemetry/.*")
def telemetry(state: State, request: Request) -> Response:
    """Taken and forgotten."""
    return answer({})


@router.on("GET", REPO + r"/auth-check(?P<write>/write)?")
def auth_check(state: State, request: Request, kind: str, name: str, write: str | None) -> Response:
    """200 if the repository may be read (or, with `/write`, written to)."""
    repo, token = state.repo(request, kind, name)
    check_gate(repo, token)
    if write:
        check_write(repo, token)
    return Response(200)


@router.on("GET", REPO + r"/refs")
def refs(state: State, request: Request, kind: str, name: str) -> Response:
    """Branches and tags."""
    repo, _ = state.repo(request, kind, name)
    found = {
        "branches": [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": o} for n, o in repo.branches.items()],
        "tags": [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": o} for n, o in repo.tags.items()],
        "converts": [],
        "pullRequests": [],
    }
    return answer(found)


@router.on("GET", REPO + r"/commits" + REVISION)
def commits(state: State, request: Request, kind: str, name: str, revision: str) -> Response:
    """The history."""
    repo, _ = state.repo(request, kind, name)
    return answer([
        {"id": commit.oid, "title": commit.title, "message": commit.message, "date": stamp(commit.date),
         "authors": [{"user": commit.author}]}
        for commit in repo.history(revision)
    ])  # fmt: skip


@router.on("GET", REPO + r"/discussions")
def discussions(state: State, request: Request, kind: str, name: str) -> Response:
    """None, ever."""
    state.repo(request, kind, name)
    return answer({"discussions": [], "count": 0, "start": 0, "numClosedDiscussions": 0})


@router.on("GET", REPO + r"(?:/revision" + REVISION + ")?")
def info(state: State, request: Request, kind: str, name: str, revision: str | None) -> Response:
    """All about a repository at a revision, or the fields that `expand` names."""
    repo, token = state.repo(request, kind, name)
    known = _info(state, repo, repo.at(revision or "main"), token, blobs=request.flag("blobs"))
    if fields := request.query.get("expand", []) + request.query.get("expand[]", []):
        known = {key: value for key, value in known.items() if key in fields or key in ALWAYS}
    return answer(known, headers={"X-Repo-Commit": repo.at(revision or "main").oid})


def _info(state: State, repo: Repo, commit: Commit, token: Token | None, *, blobs: bool) -> dict[str, Any]:
    card = card_data(commit.files["README.md"].content.read().decode()) if "README.md" in commit.files else {}
    tags = [str(tag) for tag in card.get("tags") or []]
    known: dict[str, Any] = {
        "_id": git_oid(repo.id.encode())[:24], "id": repo.id, "author": repo.namespace or None, "sha": commit.oid,
        "lastModified": stamp(commit.date), "createdAt": stamp(repo.created), "private": repo.private,
        "gated": repo.gated, "disabled": False, "downloads": 0, "likes": 0, "tags": tags, "cardData": card,
        "siblings": [_sibling(state, path, file, blobs=blobs) for path, file in sorted(commit.files.items())],
    }  # fmt: skip
    if repo.kind == "model":
        known |= {"modelId": repo.id, "library_name": card.get("library_name"), "config": {},
                  "pipeline_tag": card.get("pipeline_tag"), "spaces": []}  # fmt: skip
        known["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": sorted(repo.unsafe)}
    return known


def _sibling(state: State, path: str, file: File, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if blobs:
        file = state.published(file)
        sibling |= {"size": file.content.size, "blobId": file.oid}
        if file.lfs:
            sibling["lfs"] = {"sha256": file.content.sha256, "size": file.content.size, "pointerSize": POINTER_SIZE}
    return sibling


def card_data(readme: str) -> dict[str, Any]:
    """The front matter of a README, empty without one. Raises yaml.YAMLError."""
    found = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", readme, re.DOTALL)
    data = yaml.safe_load(found.group(1)) if found else {}
    return data if isinstance(data, dict) else {}


def page(kind: str, repo_id: str) -> str:
    """A repository's page."""
    return f"/{'' if kind == 'model' else kind + 's/'}{quote(repo_id)}"
