"""What V8 does for the report, in a process of its own: `python -m promptmill.report.drawing` is that process.

Where the address space or the number of threads is limited, as on some login nodes, V8 ends its process
on the spot. That is not to take a report along, let alone a dataset.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from promptmill.errors import PromptmillError, StorageError
from promptmill.files import read_json, write_json

MOST_SECONDS = 120.0


class DrawingFailed(PromptmillError):
    """Charts cannot be drawn on this machine; all else can be told without them."""


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`.

    V8 takes some three seconds to put it together, so it is kept for the next report.

    Raises:
        DrawingFailed: V8 does not run here.
    """
    with suppress(OSError, RuntimeError):  # the latter: no home
        kept = read_json(library_cache())
        if isinstance(kept, dict) and "script" in kept:
            return str(kept["script"])
    script = _drawn({"library": True}).decode("utf-8")
    with suppress(OSError, StorageError, RuntimeError):  # a home that is full, read-only, or not there
        write_json(library_cache(), {"script": script})
    return script


def library_cache() -> Path:
    """Where the script is kept: below the folder of the user's caches, 0.9 MB for each version of the library."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "promptmill" / f"vega-{version('vl-convert-python')}.json"


def png(spec: dict[str, Any], *, scale: float) -> bytes:
    """A Vega-Lite chart as PNG, with so many pixels for one of the chart's.

    Raises:
        DrawingFailed: V8 does not run here.
    """
    return _drawn({"spec": spec, "scale": scale})


def _drawn(request: dict[str, Any]) -> bytes:
    command = [sys.executable, "-m", "promptmill.report.drawing"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DrawingFailed(f"The charts were not drawn within {MOST_SECONDS:.0f} s.") from error
    if done.returncode < 0:
        raise DrawingFailed(
            f"The charts could not be drawn: V8 was ended by signal {-done.returncode}, as it is where the address "
            "space is limited (ulimit -v). Run `promptmill report` on another machine, or without the limit."
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DrawingFailed(f"The charts could not be drawn: {said[-1][:300] if said else 'no reason was given'}")
    return done.stdout


def _answer(request: dict[str, Any]) -> bytes:
    import vl_convert

    if "library" in request:
        return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode()
    return vl_convert.vegalite_to_png(request["spec"], scale=request["scale"])


if __name__ == "__main__":
    sys.stdout.buffer.write(_answer(json.load(sys.stdin)))
