"""Prompts: read from files or the Hub, rendered, checked, and written once as Parquet."""

from promptmill.prompts.default import default_prompts_path
from promptmill.prompts.options import PromptOptions
from promptmill.prompts.prepare import prepare_prompts
from promptmill.prompts.prepared import (
    PreparedPrompt,
    PreparedPrompts,
    UserColumn,
    prepared_table,
    read_prepared,
)
from promptmill.prompts.source import absolute_path, absolute_source, source_digest
from promptmill.prompts.template import chat_template_text, template_text

__all__ = [
    "PreparedPrompt",
    "PreparedPrompts",
    "PromptOptions",
    "UserColumn",
    "absolute_path",
    "absolute_source",
    "chat_template_text",
    "default_prompts_path",
    "prepare_prompts",
    "prepared_table",
    "read_prepared",
    "source_digest",
    "template_text",
]
