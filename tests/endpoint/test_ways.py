"""The way to a server: URLs, redirects, certificates and proxies; what is set up wrongly ends with 78 at once."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.ways import is_loopback, proxy_to
from promptmill.errors import ConfigurationError
from tests.endpoint.asking import all_of, engine_on, requests
from tests.endpoint.producing import begun, produced
from tests.endpoint.server import Reply, WordServer

NOWHERE = "http://words.invalid:8000/v1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this machine are not those of the test."""
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


def refused(folder: Path, server: WordServer, url: str | None = None, **options: object) -> str:
    """What the meeting says, with code 78."""
    with pytest.raises(ConfigurationError) as ended:
        produced(begun(folder), server, **({"urls": (url,)} if url else {}), **options)
    assert ended.value.exit_code == 78
    return str(ended.value)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_a_url_with_and_without_its_path_and_slash(server: WordServer, end: str) -> None:
    """All of them are the same server."""
    assert len(all_of(engine_on(urls=(server.url.removesuffix("/v1") + end,)), requests(3))) == 3


@pytest.mark.parametrize("end", ["/chat/completions", "/completions", "/completions/", "/models"])
def test_a_url_with_more_than_the_base_says_what_to_give(end: str) -> None:
    """The right one is in the message."""
    with pytest.raises(ConfigurationError, match=r"Give the part before it: --endpoint-url http://n:1/v1\."):
        EndpointOptions((f"http://n:1/v1{end}",))


def test_a_wrong_path_is_said_at_once(tmp_path: Path, server: WordServer) -> None:
    """404 for everything is no model that is missing."""
    assert "There is no OpenAI API at" in refused(tmp_path, server, f"{server.url}/openai")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(tmp_path: Path, server: WordServer, status: int) -> None:
    """The key would go where nobody said; the message has the place."""
    server.behave = lambda asked: Reply(status, b"", {"Location": "https://words.invalid/v1/completions"})
    assert "sends on to https://words.invalid/v1/completions" in refused(tmp_path, server)


def test_a_page_for_people_is_no_server_of_models(tmp_path: Path, server: WordServer) -> None:
    """A web page answers 200 to everything."""
    server.behave = lambda asked: Reply(200, b"<!doctype html><title>Chat</title>", {"Content-Type": "text/html"})
    assert "a page for people" in refused(tmp_path, server)


def test_a_server_that_streams_unasked(tmp_path: Path, server: WordServer) -> None:
    """It was asked not to."""
    server.behave = lambda asked: Reply(200, b'data: {"choices": []}\n\n', {"Content-Type": "text/event-stream"})
    assert "answers in a stream" in refused(tmp_path, server)
    assert server.asked[-1].body["stream"] is False


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501])
def test_a_list_of_models_is_not_needed(tmp_path: Path, server: WordServer, status: int) -> None:
    """Forbidden, missing or broken: if completions come, all is well."""
    server.listing = Reply(status, b'{"error": {"message": "no"}}')
    assert produced(begun(tmp_path), server)


def test_ipv6(tmp_path: Path) -> None:
    """In brackets."""
    with WordServer(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert produced(begun(tmp_path), server)


def test_a_proxy_is_used_and_never_for_this_machine(
    tmp_path: Path, server: WordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on the same node is asked straight, whatever the environment says."""
    with WordServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        assert len(all_of(engine_on(server), requests(2))) == 2
        assert proxy.proxied == 0
        assert len(all_of(engine_on(urls=(NOWHERE,)), requests(2))) == 2
        assert proxy.proxied >= 2


def test_a_proxy_that_is_down_is_named(tmp_path: Path, server: WordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its variable, and without its password."""
    server.stop()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{server.port}")
    said = refused(tmp_path, server, NOWHERE)
    assert f"The proxy http://127.0.0.1:{server.port} (from http_proxy in the environment) does not answer" in said
    assert "secret" not in said


def test_a_proxy_that_says_no_is_named(tmp_path: Path, server: WordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the server, nor its key."""
    server.behave = lambda asked: Reply(403, b"<h1>Blocked</h1>", {"Content-Type": "text/html"})
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    said = refused(tmp_path, server, NOWHERE)
    assert "does not let requests to http://words.invalid:8000/v1 through" in said
    assert "no_proxy" in said


@pytest.mark.skipif(find_spec("socksio") is not None, reason="the package is there")
def test_socks_without_its_package(tmp_path: Path, server: WordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    assert "pip install socksio" in refused(tmp_path, server, NOWHERE)


@pytest.mark.parametrize(
    ("no_proxy", "url", "found"),
    [
        ("", "http://n7:1/v1", True),
        ("n7", "http://n7:1/v1", False),
        (".cluster", "http://n7.cluster:1/v1", False),
        ("10.0.0.0/8", "http://10.1.2.3:1/v1", False),
        ("10.0.0.0/8", "http://11.1.2.3:1/v1", True),
        ("*", "http://n7:1/v1", False),
        ("", "http://127.9.9.9:1/v1", False),
        ("", "http://localhost:1/v1", False),
        ("", "http://[::1]:1/v1", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, found: bool) -> None:
    """Names, domains and networks; this machine always."""
    monkeypatch.setenv("http_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_to(url) is not None) == found
    assert not is_loopback("n7")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody signed but itself, with its key, for localhost."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path.with_suffix(".key"), "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
def secured(certificate: Path) -> Iterator[WordServer]:
    """A server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with WordServer(tls=context) as server:
        yield server


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_a_certificate_of_its_own_is_explained_and_can_be_named(
    tmp_path: Path, secured: WordServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE, as the message says; one that is not there is said as well."""
    said = refused(tmp_path, secured)
    assert "its certificate is not trusted here (self-signed certificate)" in said
    assert "export SSL_CERT_FILE=" in said
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    (tmp_path / "b").mkdir()
    assert "SSL_CERT_FILE" in refused(tmp_path / "b", secured)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    (tmp_path / "c").mkdir()
    assert produced(begun(tmp_path / "c"), secured)


def test_https_to_a_server_without_tls(tmp_path: Path, server: WordServer) -> None:
    """The message says http."""
    said = refused(tmp_path, server, server.url.replace("http://", "https://"))
    assert "Give its URL with http:// instead of https://" in said


def test_the_request_is_json(server: WordServer) -> None:
    """Whatever the key's header is."""
    all_of(engine_on(server), requests(1))
    assert server.asked[0].headers["content-type"] == "application/json"
    json.dumps(server.asked[0].body)
