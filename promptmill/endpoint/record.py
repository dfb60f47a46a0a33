"""What a server was found to be, written down once a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from promptmill.endpoint.dialect import PLAIN, Dialect
from promptmill.endpoint.options import EndpointOptions
from promptmill.errors import ConfigurationError, StorageError
from promptmill.files import create_json, read_json
from promptmill.run import RunFolder

Api = Literal["chat", "completions"]
Seeds = Literal["honoured", "ignored", "unknown", "greedy", "refused"]
Counts = Literal["server", "tokenizer", "nobody"]
About = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A model that a server has.

    Attributes:
        api: the way of generating that is asked for.
        about: what the server says of the model, as far as it stays the same on another node and port.
        seeds: what became of a seed that was sent twice; `unknown` where the answers do not tell, `greedy` where
            nothing is drawn, `refused` where none may be sent.
        origin: what its answers say of themselves, `model` and `system_fingerprint`.
        dialect: how the run's settings are said to it.
        counts: who counts tokens: the server, the tokenizer if it is at hand here, or nobody.
    """

    api: Api
    about: About
    seeds: Seeds
    counts: Counts
    origin: dict[str, str] = field(default_factory=dict)
    dialect: Dialect = PLAIN

    @property
    def identity(self) -> dict[str, Any]:
        """The part that changes the bytes of the dataset."""
        left_out = {} if self.dialect.seeds else {"left_out": ["seed"]}
        return {"api": self.api, "about": self.about, **left_out}

    @property
    def seeds_in_words(self) -> str:
        """For the card."""
        return {
            "honoured": "sent with each row; the server gave the same text for the same seed when asked twice",
            "ignored": "sent with each row, and ignored by the server: the same seed gave two different texts",
            "unknown": "sent with each row; whether the server heeds it is not known",
            "refused": "not sent, as the server refuses them: no row can be made twice the same",
            "greedy": "of no effect, as the most likely token is always taken",
        }[self.seeds]

    @property
    def counts_in_words(self) -> str:
        """For the card."""
        return {
            "server": "counted by the server",
            "tokenizer": "counted with the model's tokenizer, as the server does not",
            "nobody": "not counted",
        }[self.counts]


def note_served(run: RunFolder, served: Served) -> Served:
    """Write it down if this process is the first to; returns what holds."""
    create_json(run.server, asdict(served))
    return recorded_served(run)


def recorded_served(run: RunFolder) -> Served:
    """What was found.

    Raises:
        StorageError: it is missing or damaged.
    """
    value = read_json(run.server)
    if value is None:
        raise StorageError(f"{run.server} is missing or damaged; start BuildDataset again and it is made anew.")
    return Served(**{**value, "dialect": Dialect.from_json(value.get("dialect", {}))})


def require_counted(served: Served, options: EndpointOptions) -> None:
    """Refuse a price where nobody counts what it is the price of.

    Raises:
        ConfigurationError
    """
    if served.counts == "nobody" and options.price is not None:
        raise ConfigurationError(
            "--price-in and --price-out need tokens that somebody counts: the server tells no `usage`, and the "
            "tokenizer of its model is not on this disk. Leave them and --max-cost out."
        )


def require_same_model(url: str, recorded: About, now: About, *, made: int = 0) -> None:
    """Refuse a server that says something else of the model than the one that the run was begun with.

    What only one of the two tells is no difference: another kind of server tells less.

    Args:
        made: completions that it gave since it last had the old one.

    Raises:
        ConfigurationError: names each difference, old and new.
    """
    changed = [name for name in recorded if name in now and recorded[name] != now[name]]
    if changed:
        lines = "\n".join(f"    {name}: {recorded[name]} → {now[name]}" for name in changed)
        raise ConfigurationError(
            f"The server at {url} has another model under this name than the run was begun with (old → new):\n{lines}\n"
            f"{_doubtful(made)}Serve the old one to go on, or start again with another --name."
        )


def _doubtful(made: int) -> str:
    if not made:
        return ""
    return (
        f"Any of its last {made} completions may be of the other model, and they are committed: for rows of one model "
        "alone, start again with another --name.\n"
    )
