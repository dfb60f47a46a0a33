"""What the long tests of the examples share."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Wait for a condition, with a limit that is only for what never comes."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, f"waited in vain for {what}"
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
