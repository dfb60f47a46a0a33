"""The folder by which the parts of a private swarm find each other: a file with the address of each server."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 2.0


def prefix(model: Path) -> str:
    """What the swarm calls the layers of a model."""
    return model.resolve().name.replace(".", "-").replace(" ", "-")


def note(folder: Path, host: str, port: int, peer: object) -> None:
    """Write down where a server is."""
    path = folder / f"{host}-{port}.address"
    path.with_suffix(".new").write_text(f"{host} {port} {peer}\n")
    os.replace(path.with_suffix(".new"), path)


def addresses(folder: Path, *, besides: tuple[str, int] | None = None, wait: float) -> list[str]:
    """Where the servers are that run now, without the one that asks.

    Args:
        wait: seconds to wait for one.
    """
    limit = time.monotonic() + wait
    while not (found := list(_answering(folder, besides))) and time.monotonic() < limit:
        time.sleep(0.5)
    return found


def _answering(folder: Path, besides: tuple[str, int] | None) -> Iterator[str]:
    for path in sorted(folder.glob("*.address")):
        host, port, peer = path.read_text().split()
        if (host, int(port)) != besides and _answers(host, int(port)):
            yield f"/ip4/{host}/tcp/{port}/p2p/{peer}"


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError:
        return False
    return True
