"""What a user may say about a server that has the model; none of it changes the bytes of a dataset."""

from __future__ import annotations

from promptmill.cost import Price
from promptmill.endpoint.options import CONCURRENCY, PATIENCE_SECONDS, TIMEOUT_SECONDS, EndpointOptions
from tasks.parameters import Setting, duration, integer, number, strings


class EndpointParameters:
    """Where the server is, how hard to ask it, and what it costs; for `--engine endpoint` alone."""

    endpoint_url = strings(
        default=(),
        significant=False,
        description="Server with OpenAI's API, as http://node7:8000/v1, several as a JSON list, or @FILE that holds "
        "them. Default: none.",
    )
    endpoint_key_env = Setting(
        default=None,
        significant=False,
        description="Environment variable that holds the server's key. Default: no key.",
    )
    endpoint_key_header = Setting(
        default=None,
        significant=False,
        description="Header that brings the key as it is, as api-key. Default: Authorization: Bearer KEY.",
    )
    endpoint_concurrency = integer(
        default=CONCURRENCY,
        significant=False,
        description=f"Most requests at a time to each server. Default: {CONCURRENCY}.",
    )
    endpoint_timeout = duration(
        default=TIMEOUT_SECONDS,
        significant=False,
        description="Most time for one request. Default: 10m.",
    )
    endpoint_patience = duration(
        default=PATIENCE_SECONDS,
        significant=False,
        description="Stop with code 75 after so long without a good answer. Default: 10m.",
    )
    price_in = number(
        default=None, significant=False, description="Price of a million prompt tokens. Default: not counted."
    )
    price_out = number(
        default=None, significant=False, description="Price of a million generated tokens. Default: not counted."
    )
    max_cost = number(default=None, significant=False, description="Stop at this cost. Default: no limit.")

    @property
    def endpoint_options(self) -> EndpointOptions | None:
        """All of it as one checked value; None where no server is named, as with other engines."""
        return self._endpoint_options() if self.endpoint_url else None

    @property
    def endpoint_arguments(self) -> tuple[str, ...]:
        """The options that were given, for the command line of another task."""
        settings = {name: value for name, value in vars(EndpointParameters).items() if isinstance(value, Setting)}
        given = {name: getattr(self, name) for name in settings if getattr(self, name) != settings[name]._default}
        return tuple(f"--{name.replace('_', '-')}={settings[name].serialize(given[name])}" for name in given)

    def check_endpoint(self) -> None:
        """Refuse what makes no sense now, and not after the prompts were prepared.

        Raises:
            ConfigurationError: says which option it is.
        """
        self._endpoint_options().key()

    def _endpoint_options(self) -> EndpointOptions:
        priced = self.price_in is not None or self.price_out is not None
        return EndpointOptions(
            urls=self.endpoint_url,
            key_env=self.endpoint_key_env,
            key_header=self.endpoint_key_header,
            concurrency=self.endpoint_concurrency,
            timeout=self.endpoint_timeout,
            patience=self.endpoint_patience,
            price=Price(self.price_in or 0.0, self.price_out or 0.0) if priced else None,
            max_cost=self.max_cost,
        )
