"""One HTTP origin on a free port of 127.0.0.1: reads requests, logs them, strikes faults, writes answers."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.hub.content import PIECE
from tests.hub.effects import Effect
from tests.hub.messages import LoggedRequest, Request, Response, answer, carries_content


class DroppedError(Exception):
    """The connection is gone: nothing more can be read or sent."""


App = Callable[[Request], Response]
Strike = Callable[[str, str, str], Effect | None]


class Origin:
    """A listening socket with a daemon thread for each connection; `close` ends them all."""

    def __init__(self, name: str, strike: Strike, log: Callable[[LoggedRequest], None], port: int = 0) -> None:
        self.name = name
        self.strike = strike
        self.log = log
        self.app: App = lambda request: Response(404)
        self.closing = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, name=f"hub-{name}", daemon=True)

    def start(self) -> None:
        """Take connections."""
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening and end every connection; threads get a second to notice."""
        self.closing.set()
        _shut(self._listener)
        self._acceptor.join(1)
        self._listener.close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now.values():
            _shut(connection)
        for thread in open_now:
            thread.join(1)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, address), daemon=True)
            with self._lock:
                self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket, address: object) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Exchange(connection, address, self)  # type: ignore[arg-type]
        except (DroppedError, OSError):
            pass  # the client left, or a fault ended the connection
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(threading.current_thread(), None)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected any more
        connection.shutdown(socket.SHUT_RDWR)


class Exchange(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other; the `Wire` that effects act on."""

    protocol_version = "HTTP/1.1"
    server: Origin  # type: ignore[assignment]

    def reset(self) -> None:
        """See `Wire`."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """See `Wire`."""
        raise DroppedError

    def wait(self, seconds: float) -> None:
        """See `Wire`; raises when the server ends."""
        if self.server.closing.wait(max(0.0, seconds)):
            raise DroppedError

    def log_message(self, format: str, *args: object) -> None:
        """The log is `HubServer.requests`; nothing goes to stderr."""

    def exchange(self) -> None:
        """Read one request, have it handled, answer."""
        authorization = self.headers.get("Authorization")
        log = LoggedRequest(time.time(), self.server.name, self.command, self.path, authorization)
        log.fault = self.server.strike(log.origin, log.method, log.path)
        self.server.log(log)
        effect = log.fault or Effect()
        body = self._receive(log, effect)
        effect.before(self)
        response = self._respond(log, effect, body)
        effect.after(self)
        self._send(log, effect, response)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = exchange  # noqa: N815 (the base class's names)

    def _respond(self, log: LoggedRequest, effect: Effect, body: bytes) -> Response:
        if (refusal := effect.status()) is not None:
            status, headers = refusal
            return answer({"error": f"fault {status}"}, status, headers)
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(url.query, keep_blank_values=True)
        return self.server.app(Request(self.command, url.path, query, headers, body, log))

    def _receive(self, log: LoggedRequest, effect: Effect) -> bytes:
        body = bytearray()
        for piece in effect.upload(self, self._incoming(log)):
            body += piece
        return bytes(body)

    def _incoming(self, log: LoggedRequest) -> Iterator[bytes]:
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        left = self._chunk() if chunked else int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read1(min(PIECE, left))
            if not piece:
                raise DroppedError
            left -= len(piece)
            log.received += len(piece)
            log.content += len(piece) if carries_content(log) else 0
            yield piece
            if chunked and not left:
                self.rfile.readline()
                left = self._chunk()

    def _chunk(self) -> int:
        """The length of the next chunk; behind the last one, eats the empty line that ends the body."""
        line = self.rfile.readline()
        if not line:
            raise DroppedError
        length = int(line.split(b";")[0], 16)
        if not length:
            self.rfile.readline()
        return length

    def _send(self, log: LoggedRequest, effect: Effect, response: Response) -> None:
        log.status = response.status
        self.send_response(response.status)
        for name, value in {"Content-Length": str(response.length), **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in effect.download(self, response.pieces()):
            log.sent += len(piece)  # counted first: a client may look at the log as soon as it has the last byte
            self.wfile.write(piece)
