"""A few lines that train a model on the dataset: on the answers and on nothing else.

With TRL's SFTTrainer (https://huggingface.co/docs/trl/sft_trainer), which learns the completion alone where it is given
a prompt and a completion, and every answer of the assistant of a conversation where it is told so.
"""

from __future__ import annotations

import json

from promptmill.card.markdown import block
from promptmill.columns import CONVERSATION, PROMPT_COMPLETION
from promptmill.plan import PromptsManifest
from promptmill.run import Identity
from promptmill.settings import RunSettings


def training(
    repo: str | None, settings: RunSettings, identity: Identity, manifest: PromptsManifest, layout: str | None
) -> str:
    """The lines for the columns that the dataset has, as a block of Python."""
    lines = ["from datasets import load_dataset", "from trl import SFTConfig, SFTTrainer", ""]
    lines.append(f'dataset = load_dataset("{repo or "PATH_OR_REPO"}", split="train")')
    if layout == CONVERSATION:
        lines.append('dataset = dataset.select_columns(["messages"])')
    else:
        lines += _pairs(settings, identity, manifest, layout)
    config = f"SFTConfig({'assistant_only_loss=True' if layout == CONVERSATION else 'completion_only_loss=True'})"
    lines.append(f'SFTTrainer("MODEL", args={config}, train_dataset=dataset).train()')
    return block("\n".join(lines), "python")


def _pairs(settings: RunSettings, identity: Identity, manifest: PromptsManifest, layout: str | None) -> list[str]:
    if layout == PROMPT_COMPLETION:
        return ['dataset = dataset.select_columns(["prompt", "completion"])']
    lines = ['dataset = dataset.filter(lambda row: row["error"] is None)']
    if not identity.chat:
        lines.append('dataset = dataset.rename_column("response", "completion")')
    else:
        given = f'row["{"messages" if layout is None and manifest.prompts.kind == "messages" else "prompt"}"]'
        if manifest.prompts.kind == "prompt":
            given = f'[{_system(settings)}{{"role": "user", "content": {given}}}]'
        answer = '[{"role": "assistant", "content": row["response"]}]'
        lines.append(f'dataset = dataset.map(lambda row: {{"prompt": {given}, "completion": {answer}}})')
    return [*lines, 'dataset = dataset.select_columns(["prompt", "completion"])']


def _system(settings: RunSettings) -> str:
    if settings.system_prompt is None:
        return ""
    return f'{{"role": "system", "content": {json.dumps(settings.system_prompt, ensure_ascii=False)}}}, '
