"""What a user says about the prompts."""

from __future__ import annotations

from dataclasses import dataclass

from promptmill.errors import ConfigurationError


@dataclass(frozen=True)
class PromptOptions:
    """Where the prompts are and how a row becomes one.

    Attributes:
        source: `--prompts`: a path, a glob, or a Hub dataset `org/name` or `org/name:split`.
        column: `--prompt-column`: the column that holds the prompt; None to recognise it.
        template: `--template`: Jinja2 text over the row's columns, or `@` and the path of a file with it.
        limit: `--limit`: the first so many prompts; None for all.
        drop_last_answer: `--drop-last-answer`: of messages that end with the assistant's, leave that out.
        prompt_per_file: `--prompt-per-file`: a .txt file is one prompt, not one a line.
        file_column: `--file-column`: the column to write the name of a row's file into; None for none.

    Raises:
        ConfigurationError: a value out of its range, or both a column and a template.
    """

    source: str
    column: str | None = None
    template: str | None = None
    limit: int | None = None
    drop_last_answer: bool = False
    prompt_per_file: bool = False
    file_column: str | None = None

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigurationError("--prompts is empty; give a file as in --prompts prompts.jsonl.")
        if self.limit is not None and self.limit < 1:
            raise ConfigurationError(f"--limit is {self.limit}; it has to be 1 or more, or left out for all prompts.")
        if self.column is not None and self.template is not None:
            raise ConfigurationError(
                f"--prompt-column {self.column} and --template are both given; leave one out. "
                f"A template names its columns itself, as in --template '{{{{ {self.column} }}}}'."
            )
