"""What a user says about the server; none of it changes the bytes of a dataset."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from promptmill.cost import Price
from promptmill.endpoint.waits import USUAL, Waits
from promptmill.errors import ConfigurationError, NotFound

CONCURRENCY = 64
TIMEOUT_SECONDS = 600.0
PATIENCE_SECONDS = 600.0
_EXAMPLE = "--endpoint-url http://localhost:8000/v1"


_ENDS = ("/chat/completions", "/completions", "/models")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "cookie")


@dataclass(frozen=True)
class Key:
    """What a server knows its user by.

    Attributes:
        header: the one that brings it as it is; None for `Authorization: Bearer`.
    """

    secret: str = field(repr=False)
    header: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {self.header: self.secret} if self.header else {"Authorization": f"Bearer {self.secret}"}


@dataclass(frozen=True)
class EndpointOptions:
    """Where the model is, and how hard to ask.

    Attributes:
        urls: bases of the API, as http://node7:8000/v1, or one `@FILE` that holds them.
        key_env: environment variable that holds the key; None for a server that wants none.
        key_header: the header that brings it as it is, as api-key; None for `Authorization: Bearer`.
        concurrency: most requests at a time to each server.
        timeout: seconds that one request may take in all.
        patience: seconds without a good answer before this process gives the server up.
        price: of tokens; None if nobody counts money.
        max_cost: stop at this cost, in the money of the price.
        waits: how long to wait for what; nobody types that.

    Raises:
        ConfigurationError: says which option it is.
    """

    urls: tuple[str, ...]
    key_env: str | None = None
    key_header: str | None = None
    concurrency: int = CONCURRENCY
    timeout: float = TIMEOUT_SECONDS
    patience: float = PATIENCE_SECONDS
    price: Price | None = None
    max_cost: float | None = None
    waits: Waits = USUAL

    def __post_init__(self) -> None:
        if not self.urls:
            raise ConfigurationError(f"--engine endpoint needs to know where the server is, as in {_EXAMPLE}.")
        if any(url.startswith("@") for url in self.urls) and len(self.urls) > 1:
            raise ConfigurationError(
                "--endpoint-url takes one @FILE or URLs, not both; the file may hold several URLs."
            )
        for url in self.urls:
            if not url.startswith("@"):
                _base(url)
        if self.key_header is not None:
            if not _HEADER.fullmatch(self.key_header) or self.key_header.lower() in _OWN_HEADERS:
                raise ConfigurationError(
                    f"--endpoint-key-header is {self.key_header!r}, which is no header for a key. Give its name alone, "
                    "as in --endpoint-key-header api-key."
                )
            if self.key_env is None:
                raise ConfigurationError(
                    f"--endpoint-key-header is {self.key_header}, and no key is named. Name the environment variable "
                    "that holds it with --endpoint-key-env."
                )
        if self.concurrency < 1:
            raise ConfigurationError(f"--endpoint-concurrency is {self.concurrency}; it has to be 1 or more.")
        if self.timeout <= 0:
            raise ConfigurationError(f"--endpoint-timeout is {self.timeout:g} s; give a request some time, as in 10m.")
        if self.max_cost is not None and self.max_cost <= 0:
            raise ConfigurationError(f"--max-cost is {self.max_cost:g}; it has to be above 0.")
        if self.max_cost is not None and self.price is None:
            raise ConfigurationError("--max-cost needs a price: give --price-in and --price-out, a million tokens.")

    def bases(self) -> tuple[str, ...]:
        """The URLs of now, without a slash at the end: a file is read anew each time.

        Raises:
            NotFound: there is no such file.
            ConfigurationError: it holds no URL, or something else.
        """
        if not self.urls[0].startswith("@"):
            return tuple(map(_base, self.urls))
        path = Path(self.urls[0][1:])
        try:
            found = tuple(_base(line) for line in path.read_text(encoding="utf-8").split())
        except OSError as error:
            raise NotFound(f"--endpoint-url {self.urls[0]}: {error.strerror or error}.") from error
        if not found:
            raise ConfigurationError(f"--endpoint-url {self.urls[0]}: the file holds no URL yet; one a line, please.")
        return found

    def key(self) -> Key | None:
        """The key, from the environment.

        Raises:
            ConfigurationError: there is no such variable, or no header can carry what it holds.
        """
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ConfigurationError(
                f"--endpoint-key-env is {self.key_env}, and that environment variable is not set. "
                f"Set it first: `read -rs {self.key_env} && export {self.key_env}`."
            )
        wrong = next((place for place, char in enumerate(key, 1) if not "\x20" <= char <= "\x7e"), None)
        if wrong is not None:
            what = "a line end or another control character" if key[wrong - 1] < "\x20" else "no character of ASCII"
            raise ConfigurationError(
                f"The key in {self.key_env} has {what} at character {wrong} of {len(key)}, which no header can carry. "
                f"Set it again, the key alone: `read -rs {self.key_env} && export {self.key_env}`."
            )
        return Key(key, self.key_header)


def _base(url: str) -> str:
    """The URL as requests are made from it; where it has no path, the usual one."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        raise ConfigurationError(f"--endpoint-url {url!r} is not a URL of http or https. Write it as in {_EXAMPLE}.")
    if "@" in parts.netloc or parts.query:
        raise ConfigurationError(
            "--endpoint-url holds a password or a query, and options are shown in logs. Leave it out, and name the "
            "environment variable that holds the key: --endpoint-key-env NAME."
        )
    if (end := next((end for end in _ENDS if parts.path.rstrip("/").endswith(end)), None)) is not None:
        raise ConfigurationError(
            f"--endpoint-url {url} ends in {end}, which is added here. Give the part before it: "
            f"--endpoint-url {url.rstrip('/').removesuffix(end)}."
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"
