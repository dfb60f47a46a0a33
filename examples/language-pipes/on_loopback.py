"""Run language-pipes with its ports on one address: by itself it listens on all interfaces, without a password.

Takes the options of `language-pipes`. The address is that of LP_HOST, by default 127.0.0.1.
"""

from __future__ import annotations

import os
import socketserver

from language_pipes.cli import main

HOST = os.environ.get("LP_HOST", "127.0.0.1")
_bind = socketserver.TCPServer.server_bind


def _bind_to_host(server: socketserver.TCPServer) -> None:
    server.server_address = (HOST, server.server_address[1])
    _bind(server)


if __name__ == "__main__":
    socketserver.TCPServer.server_bind = _bind_to_host  # type: ignore[method-assign]
    main()
