"""The first prompts of a run as they will be asked, before anything is loaded."""

from __future__ import annotations

import json
import logging

from promptmill.endpoint.meeting import api_for
from promptmill.generate import PromptForm
from promptmill.placement import show_prompts
from promptmill.plan import recorded_manifest
from promptmill.prompts import PreparedPrompts, read_prepared
from promptmill.rendering.first import shortened
from promptmill.run import RunFolder

logger = logging.getLogger("promptmill")

SHOWN = 3


def show_what_is_asked(run: RunFolder) -> None:
    """Log the first prompts of a run whose prompts are prepared and whose model is fetched.

    Raises:
        ConfigurationError: they would not come to the model.
        EngineError: the model's files cannot be read.
    """
    prompts = recorded_manifest(run).prompts
    if run.settings.loads_model:
        show_prompts(run, prompts, SHOWN)
    else:
        _show_for_server(run, prompts, min(SHOWN, prompts.rows))
    logger.info("%d prompts are prepared in %s, and nothing is generated: this was a dry run.", prompts.rows, run.path)


def _show_for_server(run: RunFolder, prompts: PreparedPrompts, most: int) -> None:
    """What a server is sent; it makes tokens of that by itself."""
    form = PromptForm(api_for(run.settings, prompts) == "chat", run.settings.system_prompt, samples=1, run_seed=0)
    for request in form.requests(read_prepared(run.prompts_table, 0, most)):
        asked = request.prompt if request.messages is None else json.dumps(request.messages, ensure_ascii=False)
        logger.info("Prompt %d as the server is asked: %s", request.position + 1, shortened(str(asked)))
