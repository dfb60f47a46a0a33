"""What a promptmill process does around Luigi: defaults, log, signals, and how errors end it."""

from __future__ import annotations

import configparser
import functools
import inspect
import logging
import multiprocessing
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config
from luigi.retcodes import retcode
from luigi.rpc import RPCError

from promptmill.errors import ConfigurationError, Interrupted, NotFound, PromptmillError
from promptmill.orphans import end_with_parent
from promptmill.report.text import visible
from promptmill.stopping import Exit, stop_request

logger = logging.getLogger("promptmill")

_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 10
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
    # Luigi ends with the largest code that holds, and what depends on a failed task is "not run".
    ("retcode", "not_run"): "1",
    ("retcode", "task_failed"): "1",
    ("retcode", "scheduling_error"): "1",
    ("retcode", "unhandled_exception"): "1",
}


def set_luigi_defaults() -> None:
    """Fill in what luigi.cfg leaves open, so that exit codes hold where no luigi.cfg is found."""
    config = get_config()
    for (section, option), value in _DEFAULTS.items():
        if not config.has_option(section, option):
            config.set(section, option, value)


def end_as_interrupted() -> None:
    """Have Luigi end this process, once its other tasks are through, with "the same command goes on"."""
    # Luigi reads its codes before it starts, and keeps one instance of a task or config a set of parameters.
    retcode().task_failed = Interrupted.exit_code


@luigi.Task.event_handler(luigi.Event.FAILURE)
@luigi.Task.event_handler(luigi.Event.BROKEN_TASK)
def _end_as_failed(*_: object) -> None:
    """Keep 75, on which job scripts start again, for what that mends: a fault outweighs what it left undone."""
    codes = retcode()
    for name in ("already_running", "missing_data", "not_run"):
        setattr(codes, name, codes.task_failed)


@functools.cache
def prepare_process() -> None:
    """Set up the log and the signal handlers, once a process."""
    try:
        core = luigi.interface.core()
        level, own_log, scheduler = str(core.log_level), bool(core.logging_conf_file), scheduler_url()
    except (ValueError, configparser.Error):  # this is what has to be told
        level, own_log, scheduler = "INFO", False, ""
    if not own_log:
        _set_up_log(level, scheduler)
    stop_request.install()


@functools.cache
def require_scheduler() -> None:
    """Find out at once that no luigid answers: Luigi itself asks for a minute, and ends in a traceback.

    Raises:
        ConfigurationError: the command line has no `--local-scheduler`, and no other scheduler is there; or an option
            of Luigi's cannot be read.
    """
    try:
        core = luigi.interface.core()
    except ValueError as error:
        raise ConfigurationError(
            f"An option of Luigi's own has a value that it cannot have: {error}. "
            "`luigi --module workflows BuildDataset --help-all` lists them."
        ) from error
    # Who calls `luigi.build` has said there what schedules.
    if CmdlineParser.get_instance() is None or core.local_scheduler or multiprocessing.parent_process() is not None:
        return
    where = urlsplit(scheduler_url())
    if where.scheme not in ("http", "https") or where.hostname is None:
        return  # a socket in the file system
    try:
        socket.create_connection((where.hostname, where.port or _PORTS[where.scheme]), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigurationError(
            f"No scheduler answers at {scheduler_url()} ({error.strerror or error}). Add --local-scheduler to the "
            "command, which needs none; or start one first: `luigid --address 127.0.0.1`."
        ) from error


def scheduler_url() -> str:
    """Where Luigi looks for its scheduler."""
    core = luigi.interface.core()
    return str(core.scheduler_url) or f"http://{core.scheduler_host}:{core.scheduler_port}/"


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


def _set_up_log(level: str, scheduler: str) -> None:
    debug = level in ("DEBUG", "NOTSET")
    _attach(logger, level)
    # Luigi reports each step of its scheduling as INFO; people asked for that only with DEBUG.
    luigi_logger = logging.getLogger("luigi-interface")
    _attach(luigi_logger, "DEBUG" if debug else "WARNING")
    luigi_logger.addFilter(_SchedulerGone(scheduler))
    if not debug:
        luigi_logger.addFilter(_NoTraceback())


class _SchedulerGone(logging.Filter):
    """Says in a sentence that luigid does not answer, and has the process end with "the same command goes on".

    Args:
        url: where it was; Luigi has forgotten its command line once it waits for tasks.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RPCError):
            # Luigi gives up, and ends with this code right after it has logged the error.
            retcode().unhandled_exception = Interrupted.exit_code
            record.msg, record.args = (
                "The scheduler at %s has gone. What was committed is kept: start luigid again, or add "
                "--local-scheduler, and start the same command.",
                (self._url,),
            )
        elif "remote scheduler" in record.getMessage():
            record.msg, record.args = "The scheduler at %s does not answer; it is asked again.", (self._url,)
        else:
            return True
        record.exc_info = None
        return True


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
