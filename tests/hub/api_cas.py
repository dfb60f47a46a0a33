"""The Xet storage service (CAS), as hf_xet speaks to it.

Source: github.com/huggingface/xet-core, xet_client/src/cas_client/remote_client.rs and cas_types/mod.rs.
"""

import json
import re
import secrets
import time
from typing import Any

from tests.hub.errors import HubError
from tests.hub.messages import Request, Response, answer
from tests.hub.state import Router, State
from tests.hub.xet_format import Segment, build_shard
from tests.hub.xet_store import merged_runs

router = Router()
ROOT = r"/[0-9a-f]{8}"  # told apart by hub
HASH = r"(?P<name>[0-9a-f]{64})"


def _check(state: State, request: Request, access: str = "") -> None:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if state.xet_tokens.get(token, 0) < time.time():
        raise HubError(401, "unknown or expired token")
    if access and not token.startswith(f"xet_{access}_"):
        raise HubError(403, f"the token does not allow to {access}")


@router.on("GET", ROOT + r"/v1/chunks/[^/]+/" + HASH)
def chunk(state: State, request: Request, name: str) -> Response:
    """Where a chunk lies already, as a shard about its xorb: so clients find out what they need not send."""
    _check(state, request)
    if name not in state.xet.holder:
        raise HubError(404, "chunk not known")
    return Response(200, build_shard(state.xet.holder[name]), {"Content-Type": "application/octet-stream"})


@router.on("POST", ROOT + r"/v1/xorbs/[^/]+/" + HASH)
def xorb(state: State, request: Request, name: str) -> Response:
    """Take a xorb."""
    _check(state, request, "write")
    return _added(state, name, request.body)


def _added(state: State, name: str, data: bytes) -> Response:
    try:
        return answer({"was_inserted": state.xet.add_xorb(name, data)})
    except ValueError as error:
        raise HubError(400, str(error)) from error


@router.on("POST", ROOT + r"/v1/xorb-grants/[^/]+/" + HASH)
def xorb_grant(state: State, request: Request, name: str) -> Response:
    """Where a xorb may be put without a token: 201, or 200 if it is here, or 404 where there are no grants.

    Not in the public source of xet-core; seen from hf_xet 1.8.0, which on 404 sends the xorb here instead.
    """
    _check(state, request, "write")
    if not state.settings.xorb_grants:
        raise HubError(404, "there are no upload grants")
    if name in state.xet.xorbs:
        return answer({})
    url = state.signed(f"/xorbs/{name}")
    return answer({"id": secrets.token_hex(4), "method": "PUT", "url": url, "headers": {}}, 201)


@router.on("POST", ROOT + r"/v1/xorb-commits/[^/]+/" + HASH + r"/grant/[0-9a-f]+")
def xorb_commit(state: State, request: Request, name: str) -> Response:
    """Take in a xorb that was put on the CDN; on 404 the client asks for another grant, three in all."""
    _check(state, request, "write")
    if name not in state.granted:
        raise HubError(404, "nothing was uploaded for the grant")
    return _added(state, name, state.granted.pop(name))


@router.on("POST", ROOT + r"/v(?P<version>[12])/shards")
def shard(state: State, request: Request, version: str) -> Response:
    """Version 1 answers in JSON, version 2 with a stream of events whose last one is the result."""
    _check(state, request, "write")
    try:
        state.xet.add_shard(request.body)
    except ValueError as error:
        raise HubError(400, str(error)) from error
    if version == "1":
        return answer({"result": 1})
    events = [{"type": "validating", "verified": 1, "total": 1}, {"type": "result"}]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    return Response(200, lines.encode(), {"Content-Type": "application/x-ndjson"})


@router.on("GET", ROOT + r"/v(?P<version>[12])/reconstructions/" + HASH)
def reconstruction(state: State, request: Request, version: str, name: str) -> Response:
    """Which chunks make up a file, or a range of it, and where to fetch them."""
    _check(state, request)
    if name not in state.xet.files:
        raise HubError(404, "file not known")
    file = state.xet.files[name]
    size = sum(segment.length for segment in file.segments)
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    start, stop = (int(found[1]), int(found[2]) + 1 if found[2] else size) if found else (0, size)
    if start >= size:
        return Response(416)
    offset, terms = state.xet.reconstruction(file, start, stop)
    listed = [{"hash": term.xorb, "unpacked_length": term.length,
               "range": {"start": term.first, "end": term.last}} for term in terms]  # fmt: skip
    key = "xorbs" if version == "2" else "fetch_info"
    return answer({"offset_into_first_range": offset, "terms": listed, key: _fetch(state, terms, version)})


def _fetch(state: State, terms: list[Segment], version: str) -> dict[str, list[dict[str, Any]]]:
    """For each xorb the parts to fetch: apart from one another, for the client takes the first that touches a term."""
    fetch: dict[str, list[dict[str, Any]]] = {}
    for xorb, first, last in merged_runs(terms):
        chunks, span = {"start": first, "end": last}, state.xet.byte_range(xorb, first, last)
        url = state.signed(f"/xorbs/{xorb}")
        entry: dict[str, Any] = {"range": chunks, "url": url, "url_range": span}
        if version == "2":
            entry = {"url": url, "ranges": [{"chunks": chunks, "bytes": span}]}
        fetch.setdefault(xorb, []).append(entry)
    return fetch


@router.on("POST", ROOT + r"/v1/telemetry")
def telemetry(state: State, request: Request) -> Response:
    """Taken and forgotten."""
    return Response(200)
