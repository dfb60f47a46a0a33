"""What a promptmill process does around Luigi: defaults, log, signals, and how errors end it."""

from __future__ import annotations

import functools
import inspect
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import luigi
from luigi.configuration import LuigiConfigParser, get_config
from luigi.retcodes import retcode

from promptmill.errors import Interrupted, NotFound, PromptmillError
from promptmill.orphans import end_with_parent
from promptmill.report.text import visible
from promptmill.stopping import Exit, stop_request

logger = logging.getLogger("promptmill")

# What Luigi leaves at values that hide failures or surprise on a shared machine; luigi.cfg wins over these.
_DEFAULTS = {
    ("core", "log_level"): "INFO",
    # Luigi's lock file lies in a folder that the first user of a shared machine takes for himself.
    ("core", "no_lock"): "true",
    # We configure logging ourselves, unless a logging_conf_file says otherwise.
    ("core", "no_configure_logging"): "true",
    ("worker", "check_complete_on_run"): "true",
    ("retcode", "already_running"): str(Interrupted.exit_code),
    ("retcode", "missing_data"): str(NotFound.exit_code),
    ("retcode", "not_run"): str(Interrupted.exit_code),
    ("retcode", "task_failed"): "1",
    ("retcode", "scheduling_error"): "1",
    ("retcode", "unhandled_exception"): "1",
}


def set_luigi_defaults() -> None:
    """Fill in what luigi.cfg leaves open, so that exit codes hold where no luigi.cfg is found."""
    config = get_config()
    if not isinstance(config, LuigiConfigParser):
        return
    for (section, option), value in _DEFAULTS.items():
        if not config.has_option(section, option):
            config.set(section, option, value)


def end_as_interrupted() -> None:
    """Have Luigi end this process, once its other tasks are through, with "the same command goes on"."""
    # Luigi reads its codes before it starts, and keeps one instance of a task or config a set of parameters.
    retcode().task_failed = Interrupted.exit_code


@functools.cache
def prepare_process() -> None:
    """Set up the log and the signal handlers, once a process."""
    _set_up_log(luigi.interface.core().log_level)
    stop_request.install()


@contextmanager
def ending_on_error() -> Iterator[None]:
    """End the process with a short message and the error's own exit code, instead of a traceback.

    In a child of `--workers N` the error goes on to Luigi, which marks the task failed.
    """
    try:
        end_with_parent()
        yield
    except PromptmillError as error:
        if multiprocessing.parent_process() is not None:
            raise
        leave(error)


def leave(error: PromptmillError) -> NoReturn:
    """Say what was wrong and end the process with the error's exit code."""
    prepare_process()
    level = logging.WARNING if isinstance(error, Interrupted) else logging.ERROR
    logger.log(level, "%s", error, exc_info=error if logger.isEnabledFor(logging.DEBUG) else None)
    raise Exit(error.exit_code) from None


def friendly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method that Luigi calls in `ending_on_error`; works for generators too."""
    if inspect.isgeneratorfunction(method):

        @functools.wraps(method)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with ending_on_error():
                yield from method(*args, **kwargs)

        return generator

    @functools.wraps(method)
    def function(*args: Any, **kwargs: Any) -> Any:
        with ending_on_error():
            return method(*args, **kwargs)

    return function


class _NoTraceback(logging.Filter):
    """Takes the traceback from records about our own errors, which say what to do in words."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], PromptmillError):
            record.msg, record.args = "%s", (str(record.exc_info[1]),)
            record.exc_info = None
        return True


def _set_up_log(level: str) -> None:
    if luigi.interface.core().logging_conf_file:
        return
    debug = level in ("DEBUG", "NOTSET")
    _attach(logger, level)
    # Luigi reports each step of its scheduling as INFO; people asked for that only with DEBUG.
    luigi_logger = logging.getLogger("luigi-interface")
    _attach(luigi_logger, "DEBUG" if debug else "WARNING")
    if not debug:
        luigi_logger.addFilter(_NoTraceback())


class _Visible(logging.Formatter):
    """Lines in which controls are pictures: a file name or an answer of a Hub must not steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is at the moment: a progress bar replaces it to keep lines above itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The standard error of now."""
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        raise AttributeError("always sys.stderr")


def _attach(target: logging.Logger, level: str) -> None:
    handler = _Stderr()
    handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    target.addHandler(handler)
    target.setLevel(level)
    target.propagate = False
