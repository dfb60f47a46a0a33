"""The way to a server: straight, or through the proxy that the environment names."""

from __future__ import annotations

import ipaddress
import ssl
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Proxy:
    """A proxy from the environment.

    Attributes:
        url: where it is, its password included.
        variable: the environment variable that names it, in small letters.
    """

    url: str
    variable: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"The proxy {parts.scheme}://{parts.hostname}{port} (from {self.variable} in the environment)"


def proxy_to(url: str) -> Proxy | None:
    """The proxy for a URL; None if there is none, `no_proxy` names the host, or the host is this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = urllib.request.getproxies_environment()
    if is_loopback(host) or _is_excepted(host, parts.netloc.rsplit("@", 1)[-1], named):
        return None
    for scheme in (parts.scheme, "all"):
        if found := named.get(scheme):
            return Proxy(found if "://" in found else f"http://{found}", f"{scheme}_proxy")
    return None


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    return False


def _is_excepted(host: str, netloc: str, named: dict[str, str]) -> bool:
    if urllib.request.proxy_bypass_environment(netloc, named):  # type: ignore[attr-defined]
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for one in named.get("no", "").split(","):
            with suppress(ValueError):
                if address in ipaddress.ip_network(one.strip().strip("[]"), strict=False):
                    return True
    return False


def tls_fault(error: BaseException) -> str | None:
    """What is wrong with the server's certificate, or that it speaks no TLS; None if it is something else."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted here ({found.verify_message or found}). If it is your own, or signed "
                "by your site, name a file with the certificate that signed it: export SSL_CERT_FILE=/path/to/ca.pem"
            )
        if isinstance(found, ssl.SSLError) and found.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "it speaks no TLS. Give its URL with http:// instead of https://"
        found = found.__cause__ or found.__context__
    return None
