"""Uploads by git LFS: the hub says where to, the CDN takes the bytes, the hub looks whether they came."""

import math
from typing import Any

from tests.hub.accounts import check_write
from tests.hub.api_files import no_token
from tests.hub.content import Content
from tests.hub.errors import HubError
from tests.hub.messages import Request, Response, answer
from tests.hub.state import BARE_REPO, Router, State

hub = Router()
cdn = Router()


@hub.on("POST", BARE_REPO + r"\.git/info/lfs/objects/batch")
def lfs_batch(state: State, request: Request, kind: str | None, name: str) -> Response:
    """Where to send each object, if it is not in storage."""
    repo, token = state.repo(request, kind, name)
    check_write(repo, token)
    asked = request.json()
    objects = [_upload(state, request.path, asked, wanted) for wanted in asked["objects"]]
    parted = any("chunk_size" in entry.get("actions", {}).get("upload", {}).get("header", {}) for entry in objects)
    return answer({"transfer": "multipart" if parted else "basic", "objects": objects})


def _upload(state: State, path: str, asked: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """How to upload one object; no action at all if it is in storage."""
    oid, size, part = wanted["oid"], wanted["size"], state.settings.part_size
    entry: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
    if state.stored(oid) is not None:
        return entry
    upload: dict[str, Any] = {"href": state.signed(f"/lfs/{oid}")}
    if size > part and "multipart" in asked.get("transfers", []):
        urls = {str(n): state.signed(f"/lfs/{oid}/{n}") for n in range(1, math.ceil(size / part) + 1)}
        complete = f"{state.urls['hub']}/api/complete_multipart?oid={oid}"
        upload = {"href": complete, "header": {"chunk_size": str(part), **urls}}
    verify = state.urls["hub"] + path.removesuffix("batch") + "verify"
    return {**entry, "actions": {"upload": upload, "verify": {"href": verify}}}


@hub.on("POST", r"/api/complete_multipart")
def complete(state: State, request: Request) -> Response:
    """Join the parts of an upload; the client sends no token here."""
    oid = request.query["oid"][0]
    parts = state.parts.pop(oid, {})
    if [part["partNumber"] for part in request.json()["parts"]] != sorted(parts):
        raise HubError(400, f"parts of {oid} are missing")
    _store(state, oid, b"".join(parts[number] for number in sorted(parts)))
    return answer({})


@hub.on("POST", BARE_REPO + r"\.git/info/lfs/objects/verify")
def verify(state: State, request: Request, kind: str | None, name: str) -> Response:
    """Whether an object came whole; 404 if not."""
    state.repo(request, kind, name)
    wanted = request.json()
    file = state.stored(wanted["oid"])
    if file is None or file.content.size != wanted["size"]:
        raise HubError(404, f"object {wanted['oid']} is not in storage")
    return answer({})


@cdn.on("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<number>\d+))?")
def put(state: State, request: Request, oid: str, number: str | None) -> Response:
    """Take an object, or a part of one."""
    no_token(request)
    if number is None:
        _store(state, oid, request.body)
    else:
        state.parts.setdefault(oid, {})[int(number)] = request.body
    return Response(200, headers={"ETag": f'"{Content(request.body).sha256[:32]}"'})


def _store(state: State, oid: str, data: bytes) -> None:
    content = Content(data)
    if content.sha256 != oid:
        raise HubError(400, f"the uploaded bytes have the digest {content.sha256}, not {oid}")
    state.blobs[oid] = content
