"""What may come of a request instead of a completion.

    Fault
    ├── Refused      the server wants no such prompt: asking again would not help
    ├── Busy         429 or 503: too much at once, or not ready yet
    ├── Slow         no answer within the time that a request has
    ├── Unreachable  no connection
    │   └── Astray   the proxy on the way does not answer
    └── Broken       anything else: 5xx, an answer that is none
        ├── Cut      the connection was cut: the server may have been started anew since
        └── Page     200 with a page for people: a gateway's, or a URL of something else

These tell what to do next inside the engine, and never leave it. What ends a process is a
`PromptmillError`: `AccessDenied` (401, 402, 403), `NotFound` (404), `ConfigurationError` (a redirect, a certificate,
a proxy), and `ServerGone`.
"""

from __future__ import annotations

from promptmill.errors import Interrupted


class Fault(Exception):
    """A request brought no completion; the text says why, in a few words."""


class Refused(Fault):
    """The server says that it is the request's fault."""


class Busy(Fault):
    """The server says that it is too much at the moment.

    Attributes:
        retry_after: seconds that it asks to be left alone; None if it does not say.
    """

    def __init__(self, text: str, retry_after: float | None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Slow(Fault):
    """No answer in time."""


class Unreachable(Fault):
    """No connection: the server is not there."""


class Astray(Unreachable):
    """The way to the server is closed: if that is so from the start, it is set up wrongly."""


class Broken(Fault):
    """The server failed, or its answer makes no sense."""


class Cut(Broken):
    """The connection was cut before the answer was whole."""


class Page(Broken):
    """A page for people, though with status 200: if that is so from the start, the URL is wrong."""


class ServerGone(Interrupted):
    """No server has given a good answer for longer than the user is patient; what had finished is on disk."""
