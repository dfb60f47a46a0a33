"""One run's way of asking: its model, its sampling parameters, and who counts tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from promptmill.endpoint import wire
from promptmill.endpoint.client import Client
from promptmill.endpoint.dialect import PLAIN, Dialect
from promptmill.endpoint.record import About, Api
from promptmill.endpoint.remarks import Remarks
from promptmill.engine.contract import Completion, Message, Request
from promptmill.sampling import SamplingParameters

TRIAL_TEXT = "Tell me a story about a lighthouse."
Counter = Callable[[Request, str], tuple[int | None, int | None]]


class Asking:
    """Sends rows and trials to a server.

    Args:
        counter: counts the tokens of a request and of its response, where the server does not.
        dialect: how settings are said to the servers.
        remarks: where what is odd about answers is said, once a process.
    """

    def __init__(
        self,
        client: Client,
        api: Api,
        model: str,
        sampling: SamplingParameters,
        counter: Counter,
        remarks: Remarks | None = None,
        dialect: Dialect = PLAIN,
    ) -> None:
        self._client = client
        self._api = api
        self._most = sampling.max_new_tokens
        self._stop = sampling.stop
        self._settings = wire.settings_of(model, sampling)
        self._counter = counter
        self._remarks = remarks or Remarks()
        self.dialect = dialect

    async def row(self, base: str, request: Request) -> Completion:
        """The completion of a row.

        Raises:
            As `Client.complete`.
        """
        seed = request.seed if self.dialect.seeds else None
        body = wire.body(self.dialect.say(self._settings), request.prompt, request.messages, seed)
        answer = await self._client.complete(base, self._api, body, most=self._most)
        if answer.unknown is not None:
            self._remarks.once(
                ("finish_reason", answer.unknown),
                "The server ends a text with finish_reason %s, which is not known here. The text is kept, and taken "
                "for cut if it has all the tokens that it may have.",
                answer.unknown,
            )
        self._remarks.origin(base, dict(answer.origin))
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        if prompt is None or completion is None:
            prompt, completion = self._counter(request, answer.text)
        self._remarks.row(answer.text, thought=bool(answer.reasoning) and answer.finish_reason == "length")
        text, stopped = self._cut(answer.text)
        return Completion(request.position, text, "stop" if stopped else answer.finish_reason, prompt, completion)

    def _cut(self, text: str) -> tuple[str, bool]:
        """The text before the first stop string, which some servers leave in; and whether there was one."""
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        return (text[: min(found)], True) if found else (text, False)

    async def trial(self, base: str, *, seed: int = 1, most: int = 1, **changes: Any) -> wire.Answer:
        """Something short and plain, with the run's own settings but for these changes; None leaves one out.

        Raises:
            As `Client.complete`.
        """
        most = min(most, self._most) if self.dialect.short else self._most
        changed = {**self._settings, "max_tokens": most, **changes}
        settings = self.dialect.say({name: value for name, value in changed.items() if value is not None})
        messages: tuple[Message, ...] | None = ({"role": "user", "content": TRIAL_TEXT},)
        body = wire.body(
            settings, TRIAL_TEXT, messages if self._api == "chat" else None, seed if self.dialect.seeds else None
        )
        return await self._client.complete(base, self._api, body, most=most)

    async def about(self, base: str) -> About:
        """What the server says of the model."""
        return (await self.listed(base)).about

    async def listed(self, base: str) -> wire.Listed:
        """What the server's list of models says."""
        return await self._client.listed(base)
