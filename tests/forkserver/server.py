"""The server's process: `python -m tests.forkserver.server FD LEVEL`.

It is single-threaded in Python, and none of what it imports has begun to work: a fork of it is safe. A child leaves the
loop, runs the command and ends as the interpreter does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from typing import NoReturn

from tests.forkserver.imports import import_all, import_libraries
from tests.forkserver.job import Job

MOST_BYTES = 1 << 20
"""Of a request: a command line and an environment."""


def serve(control: socket.socket) -> Job | None:
    """Fork for each request; in the child the job, in the server None once the other side has gone."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                _report_end(selector, key)
                continue
            asked, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, 4)
            if not asked:
                return None
            *streams, number = descriptors
            status = socket.socket(fileno=number)
            job = Job(**json.loads(asked))
            child = os.fork()
            if not child:
                _close(selector, control, status)
                job.begin(streams)
                return job
            for stream in streams:
                os.close(stream)
            status.send(str(child).encode())
            selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, status))


def _run_and_end(job: Job) -> NoReturn:
    """End as the interpreter does, but without taking all modules apart: a third of a second that nobody sees."""
    code: object = 0
    try:
        job.run()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _report_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    child, status = key.data
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    selector.unregister(key.fileobj)
    os.close(key.fd)
    with status:
        try:
            status.send(str(code).encode())
        except BrokenPipeError:
            return  # whoever started it has gone, or does not ask any more


def _close(selector: selectors.BaseSelector, control: socket.socket, status: socket.socket) -> None:
    """Close, in a child, what is the server's."""
    for key in list(selector.get_map().values()):
        if key.data is not None:
            key.data[1].close()
            os.close(key.fd)
    selector.close()
    control.close()
    status.close()


if __name__ == "__main__":
    import_libraries()
    if sys.argv[2] == "all":
        import_all()
    gc.collect()
    gc.freeze()
    _job = serve(socket.socket(fileno=int(sys.argv[1])))
    if _job is not None:
        _run_and_end(_job)
