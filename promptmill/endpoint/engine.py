"""The `endpoint` engine: rows are sent to a server, as many at a time as it bears."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from promptmill.cost import note_price
from promptmill.endpoint.asking import Asking
from promptmill.endpoint.client import Client
from promptmill.endpoint.flow import Flow
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.patience import Trouble
from promptmill.endpoint.record import Served, recorded_served, require_counted
from promptmill.endpoint.remarks import Remarks
from promptmill.endpoint.servers import Servers
from promptmill.endpoint.tokens import token_counter
from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.errors import PromptmillError
from promptmill.run import RunFolder
from promptmill.sampling import SamplingParameters


class EndpointEngine:
    """Generates by asking servers that have the model; what it learns of them it keeps from call to call.

    Args:
        model: the name that the servers know it by.
        sampling: the same for all rows.
        served: what was found when the run met its server.
    """

    def __init__(self, model: str, sampling: SamplingParameters, served: Served, options: EndpointOptions) -> None:
        self._model = model
        self._sampling = sampling
        self._served = served
        self._options = options
        self._waits = options.waits
        self._key = options.key()
        self._bases = options.bases()
        self._servers = Servers(self._bases, options.concurrency, options.waits)
        self._counter = token_counter(model, counts=served.counts)
        self._remarks = Remarks(served.origin)
        self._turns = 0

    @property
    def beats(self) -> int:
        """Turns of the loop: how long a server may be silent is bounded by its timeouts and the patience."""
        return self._turns

    @property
    def chats(self) -> bool:
        """Whether it takes messages; else it takes prompts."""
        return self._served.api == "chat"

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """Yield one completion a request as answers come; see `Engine.generate`.

        What is under way when it is told to stop is given up, as an answer may take minutes.

        Raises:
            ServerGone: no good answer for longer than the options' patience.
            AccessDenied, NotFound: the server knows neither us nor the model.
            ConfigurationError: the server has another model than the one that the run was begun with.
            EngineError: the server refuses everything.
        """
        loop = asyncio.new_event_loop()
        try:
            yield from self._generate(loop, requests, should_stop, may_begin)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _generate(
        self,
        loop: asyncio.AbstractEventLoop,
        requests: Iterable[Request],
        should_stop: ShouldStop,
        may_begin: MayBegin,
    ) -> Iterator[Completion]:
        # The loop turns only while this generator waits: nothing runs beside the caller, who commits
        # rows in `should_stop` and between two rows.
        client = Client(self._model, self._key, self._options.timeout)
        asking = Asking(
            client, self._served.api, self._model, self._sampling, self._counter, self._remarks, self._served.dialect
        )
        trouble = Trouble(self._options.patience, self._waits)
        self._servers.begin()
        flow = Flow(iter(requests), self._servers, asking, self._served.about, trouble, self._waits)
        try:
            while flow.open and not should_stop():
                self._turns += 1
                begin = may_begin()
                if not (begin or flow.under_way):
                    return
                self._look_for_servers(trouble)
                end = None
                try:
                    loop.run_until_complete(flow.step(self._waits.tick, begin=begin))
                except PromptmillError as error:
                    end = error
                yield from flow.take()
                if end is not None:
                    raise end
            if not flow.open:
                loop.run_until_complete(flow.farewell())
        finally:
            loop.run_until_complete(flow.close())
            loop.run_until_complete(client.close())

    def _look_for_servers(self, trouble: Trouble) -> None:
        """A server that Slurm started anew is elsewhere: look into the file that says where."""
        if not trouble.time_to_look():
            return
        with suppress(PromptmillError):
            self._bases = self._options.bases()
        self._servers.now_at(self._bases)


@lru_cache(maxsize=1)
def _engine(run: RunFolder, options: EndpointOptions) -> EndpointEngine:
    # Once a process, so that what was learned of the servers is kept from shard to shard.
    settings = run.settings
    return EndpointEngine(settings.model, settings.sampling, recorded_served(run), options)


def endpoint_engine(run: RunFolder, options: EndpointOptions) -> EndpointEngine:
    """The engine of a run whose server was met.

    Raises:
        ConfigurationError: the key is not there, or the options make no sense.
        StorageError: what was found of the server is missing.
    """
    require_counted(recorded_served(run), options)
    note_price(run, options.price)
    return _engine(run, options)
