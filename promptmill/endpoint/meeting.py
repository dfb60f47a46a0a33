"""The first words with a server, once a run: which model it has, and what it makes of the run's settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from promptmill.endpoint.asking import Asking
from promptmill.endpoint.client import Client
from promptmill.endpoint.dialect import Dialect, dialect_of, tell
from promptmill.endpoint.faults import Astray, Busy, Fault, Page, Refused, Unreachable
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.patience import Trouble
from promptmill.endpoint.record import Api, Counts, Served, note_served, require_counted
from promptmill.endpoint.tokens import tokenizer_at_hand, uncounted
from promptmill.endpoint.trials import require_heeded, seeds_of
from promptmill.endpoint.wire import Answer, Listed
from promptmill.errors import ConfigurationError, PromptmillError
from promptmill.progress import duration
from promptmill.prompts import PreparedPrompts
from promptmill.run import Identity, RunFolder, fix_identity
from promptmill.settings import RunSettings

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def is_met(run: RunFolder) -> bool:
    """Whether the run's server was met, and the run's identity is fixed."""
    return run.server.exists() and run.identity.exists()


def meet_server(run: RunFolder, prompts: PreparedPrompts, options: EndpointOptions | None) -> Served:
    """Find out what the server is, and fix the run's identity.

    Raises:
        ConfigurationError: no server is named, it heeds a setting not, or the prompts do not fit the API.
        AccessDenied, NotFound: it knows neither us nor the model.
        ServerGone: it does not answer for longer than the options' patience.
    """
    if options is None:
        raise ConfigurationError("--endpoint-url is missing. Name the server: --endpoint-url http://localhost:8000/v1.")
    api = api_for(run.settings, prompts)
    served = note_served(run, asyncio.run(_met(run.settings, api, options)))
    identity = _identity(run.settings, prompts, served)
    if fix_identity(run, identity) != identity:
        raise ConfigurationError(
            f"The server or the prompts of {run.path} are not those that the run was begun with "
            f"(see {run.identity.name}). Restore them, or start again with another --name."
        )
    return served


def api_for(settings: RunSettings, prompts: PreparedPrompts) -> Api:
    """Which of a server's two ways of generating a run asks for.

    Raises:
        ConfigurationError: the prompts do not fit the one that was chosen.
    """
    chats = prompts.kind == "messages" or settings.system_prompt is not None
    if settings.endpoint_api == "completions" and chats:
        why = "the prompts are `messages`" if prompts.kind == "messages" else "--system-prompt is given"
        raise ConfigurationError(
            f"--endpoint-api is completions, and {why}, which only a chat can take. Give --endpoint-api chat."
        )
    if settings.endpoint_api == "chat" or chats:
        return "chat"
    if settings.endpoint_api is None:
        logger.info(
            "The prompts are plain text, so the model goes on from each as it stands; "
            "give --endpoint-api chat to have them answered."
        )
    return "completions"


async def _met(settings: RunSettings, api: Api, options: EndpointOptions) -> Served:
    client = Client(settings.model, options.key(), options.timeout)
    asking = Asking(client, api, settings.model, settings.sampling, uncounted)
    answers: list[Answer] = []
    try:
        base, has = await _first_that_answers(asking, options)

        async def accepts(dialect: Dialect) -> None:
            asking.dialect = dialect
            answers.append(await _patient(lambda: asking.trial(base), options))

        async def ask(**changes: Any) -> str:
            # A stop string might end each text before it could tell anything.
            told = await _patient(lambda: asking.trial(base, stop=None, **changes), options)
            return told.reasoning + told.text

        try:
            asking.dialect = await dialect_of(accepts, settings.sampling)
            answer = answers[-1]
            if answer.reasoning and not answer.text:
                most = settings.sampling.max_new_tokens
                _tell_of_reasoning(base, most, await _patient(lambda: asking.trial(base, most=most), options))
            await require_heeded(ask, settings.sampling)
            seeds = await seeds_of(ask, settings.sampling) if asking.dialect.seeds else "refused"
        except Refused as refused:
            raise ConfigurationError(
                f"The server at {base} does not take the run's settings: {refused}. "
                "Leave the option out, or choose another value."
            ) from refused
    finally:
        await client.close()
    counted = answer.prompt_tokens is not None and answer.completion_tokens is not None
    counts: Counts = "server" if counted else "tokenizer" if tokenizer_at_hand(settings.model) else "nobody"
    served = Served(api, has.about, seeds, counts, dict(answer.origin), asking.dialect)
    tell(base, served.dialect)
    require_counted(served, options)
    if has.names and settings.model not in has.names:
        logger.warning(
            "The server at %s answers to %s, and does not list it. It lists: %s. What answers may be another model.",
            base, settings.model, ", ".join(has.names[:20]),
        )  # fmt: skip
    logger.info("The server at %s answers as %s. Seeds are %s.", base, settings.model, served.seeds_in_words)
    return served


async def _first_that_answers(asking: Asking, options: EndpointOptions) -> tuple[str, Listed]:
    trouble = Trouble(options.patience, options.waits)
    while True:
        asks = []
        for base in _bases(options, trouble):
            try:
                return base, await asking.listed(base)
            except Astray as fault:
                raise ConfigurationError(f"{fault}.") from fault
            except Fault as fault:
                trouble.note(fault)
                asks.append(_asks(fault))
        await _wait(trouble, min(asks, default=0.0), options)


async def _wait(trouble: Trouble, asks: float, options: EndpointOptions) -> None:
    """Until it is time for another try.

    Raises:
        ServerGone: that is later than the user is patient.
    """
    trouble.require_patience([])
    trouble.require_patience_for(asks)
    if asks > options.waits.word:
        logger.warning("The server asks to be left alone for %s.", duration(asks))
    await asyncio.sleep(max(asks, options.waits.meeting))


def _asks(fault: Fault) -> float:
    """For how many seconds the server asks to be left alone."""
    return (fault.retry_after or 0.0) if isinstance(fault, Busy) else 0.0


def _tell_of_reasoning(base: str, most: int, answer: Answer) -> None:
    """Say that thoughts are counted too, before a dataset of empty responses is paid for."""
    if answer.text:
        logger.info("The model at %s thinks before it answers; its thoughts count for --max-new-tokens.", base)
    else:
        logger.warning(
            "The model at %s thinks before it answers, and in a trial all the tokens of --max-new-tokens %d went into "
            "thoughts: responses will be empty. Raise it, to %d say, or switch reasoning off at the server.",
            base, most, max(4096, 4 * most),
        )  # fmt: skip


def _bases(options: EndpointOptions, trouble: Trouble) -> tuple[str, ...]:
    """Where the servers are; a file that a server's job is yet to write is waited for as the server is."""
    try:
        return options.bases()
    except PromptmillError as error:
        trouble.note(Unreachable(str(error)))
        return ()


async def _patient(ask: Callable[[], Awaitable[_T]], options: EndpointOptions) -> _T:
    """The answer, once the server gives one; what it refuses for good is not asked again."""
    trouble = Trouble(options.patience, options.waits)
    while True:
        try:
            return await ask()
        except Refused:
            raise
        except (Astray, Page) as fault:
            raise ConfigurationError(f"{fault}.") from fault
        except Fault as fault:
            trouble.note(fault)
            asks = _asks(fault)
        await _wait(trouble, asks, options)


def _identity(settings: RunSettings, prompts: PreparedPrompts, served: Served) -> Identity:
    return Identity.of(
        settings,
        revision=None,
        prompts=prompts.sha256,
        chat_template=None,
        dtype=None,
        quantization=None,
        served=served.identity,
    )
