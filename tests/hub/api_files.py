"""Content on its way to clients: `resolve`, tokens for Xet storage, and the CDN that holds large files."""

import re
import secrets
import time
from urllib.parse import quote

from tests.hub.accounts import check_gate, check_write
from tests.hub.content import Content
from tests.hub.errors import HubError, entry_not_found
from tests.hub.messages import Request, Response, answer
from tests.hub.repos import File, Repo
from tests.hub.state import BARE_REPO, REPO, REVISION, Router, State

hub = Router()
cdn = Router()
OPEN_TO_ALL = ("README.md", ".gitattributes")  # of gated repositories, as on the Hub
XET_SECONDS = 3600  # for which a token of Xet storage holds


def part_of(content: Content, request: Request, headers: dict[str, str]) -> Response:
    """The content, or the part that a Range header asks for (206; 416 if it lies outside)."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not found or found.groups() == ("", ""):
        return Response(200, headers=headers, content=content, stop=content.size)
    first, last = found.groups()
    start = int(first) if first else max(0, content.size - int(last))
    stop = min(int(last) + 1, content.size) if first and last else content.size
    if start >= stop:
        return Response(416, headers={"Content-Range": f"bytes */{content.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Response(206, headers=headers, content=content, start=start, stop=stop)


@hub.on("GET HEAD", BARE_REPO + r"/resolve" + REVISION + r"/(?P<path>.+)")
def resolve(state: State, request: Request, kind: str | None, name: str, revision: str, path: str) -> Response:
    """Small files come at once, large ones by a redirect to the CDN."""
    repo, token = state.repo(request, kind, name)
    commit = repo.at(revision)
    if path not in OPEN_TO_ALL:
        check_gate(repo, token)
    if path not in commit.files:
        raise entry_not_found(path, commit.oid)
    file = state.published(commit.files[path])
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"', "Cache-Control": "no-store"}
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}"
    if not file.lfs:
        return part_of(file.content, request, headers)
    headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.content.size)}
    headers |= _xet_headers(state, repo, commit.oid, file)
    return Response(302, headers={**headers, "Location": state.signed(f"/repos/{file.content.sha256}")})


def _xet_headers(state: State, repo: Repo, commit: str, file: File) -> dict[str, str]:
    if file.xet_hash is None:
        return {}
    route = f"{state.urls['hub']}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit}"
    record = f"{state.urls['cas']}/v1/reconstructions/{file.xet_hash}"
    return {"X-Xet-Hash": file.xet_hash,
            "Link": f'<{route}>; rel="xet-auth", <{record}>; rel="xet-reconstruction-info"'}  # fmt: skip


@hub.on("GET", REPO + r"/xet-(?P<access>read|write)-token(?:" + REVISION + ")?")
def xet_token(state: State, request: Request, kind: str, name: str, access: str, revision: str | None) -> Response:
    """A short-lived token for Xet storage, and where that is."""
    repo, token = state.repo(request, kind, name)
    if access == "write":
        check_write(repo, token)
    check_gate(repo, token)
    repo.at(revision or "main")
    value, expires = f"xet_{access}_{secrets.token_hex(8)}", int(time.time()) + XET_SECONDS
    state.xet_tokens[value] = expires
    headers = {"X-Xet-Cas-Url": state.urls["cas"], "X-Xet-Access-Token": value, "X-Xet-Token-Expiration": str(expires)}
    return answer({"casUrl": state.urls["cas"], "exp": expires, "accessToken": value}, headers=headers)


@cdn.on("GET HEAD", r"/repos/(?P<sha256>[0-9a-f]{64})")
def large_file(state: State, request: Request, sha256: str) -> Response:
    """A large file's bytes."""
    no_token(request)
    if sha256 not in state.blobs:
        raise HubError(404, "no such object")
    return part_of(state.blobs[sha256], request, {"ETag": f'"{sha256[:32]}"'})


@cdn.on("GET", r"/xorbs/(?P<xorb>[0-9a-f]{64})")
def xorb_bytes(state: State, request: Request, xorb: str) -> Response:
    """A xorb, or the chunks of it that a Range header asks for."""
    no_token(request)
    if xorb not in state.xet.xorbs:
        raise HubError(404, "no such xorb")
    return part_of(Content(state.xet.xorbs[xorb]), request, {})


@cdn.on("PUT", r"/xorbs/(?P<xorb>[0-9a-f]{64})")
def put_xorb(state: State, request: Request, xorb: str) -> Response:
    """Keep a xorb until Xet storage is told to take it in."""
    no_token(request)
    state.granted[xorb] = request.body
    return Response(200)


def no_token(request: Request) -> None:
    """400 if there is a token: signed URLs and tokens exclude each other, as they do in S3."""
    if "authorization" in request.headers:
        raise HubError(400, "Only one auth mechanism allowed; a token was sent to a signed URL")
