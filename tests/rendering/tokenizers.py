"""Tokenizers with one token a byte, and with what the test asks for around it."""

from __future__ import annotations

from typing import Any

from tokenizers import processors

from tests.engine.tiny import byte_tokenizer

BEGIN, END = 256, 257

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST]{{ m['content'] }}[/INST]"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start>{{ m['role'] }}\n{{ m['content'] | trim }}<stop>\n{% endfor %}"
    "{% if add_generation_prompt %}<start>model\n{% endif %}"
)
NO_HEADER = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
DATED = (
    "{% if strftime_now is defined %}{% set today = strftime_now('%d %b %Y') %}{% endif %}Today: {{ today }}."
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"
)


def tokenizer_with(
    template: str | dict[str, str] | None = None,
    *,
    special: tuple[str, ...] = (),
    begins: bool = False,
    ends: bool = False,
) -> Any:
    """A tokenizer.

    Args:
        special: more special tokens, with ids from 259 on.
        begins, ends: whether it puts the begin token, the end token, around a plain text.
    """
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    if begins or ends:
        around = [*(["<s>:0"] if begins else []), "$A:0", *(["</s>:0"] if ends else [])]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(around), special_tokens=[("<s>", BEGIN), ("</s>", END)]
        )
    return tokenizer
