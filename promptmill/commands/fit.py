"""`promptmill fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from promptmill.commands.ending import ending_on_error

EXAMPLE = (
    "Example: promptmill fit Qwen/Qwen2.5-7B-Instruct --gpu 'T4:6' --gpu 'RTX 6000:2'. "
    "With time: promptmill fit gpt2 --prompts prompts.jsonl --tokens-per-second 900 --time 4:00:00"
)


@ending_on_error
def fit(
    model: Annotated[str, typer.Argument(help="`demo`, a Hub repo id, a folder, or a config.json.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub model. Default: main.")] = None,
    gpu: Annotated[
        list[str] | None, typer.Option(help="GPUs to ask about, as 'T4:6'; may be given again. Default: those here.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm partition whose GPUs to ask about.")] = None,
    context: Annotated[
        int | None, typer.Option(help="Positions of a row, prompt and completion. Default: 512.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at a time, for the table of memory.")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a completion.")] = 256,
    prompts: Annotated[str | None, typer.Option(help="Prompts to count, for the time.")] = None,
    samples_per_prompt: Annotated[int, typer.Option(min=1, help="Completions a prompt, for the time.")] = 1,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Of one copy. Default: as an earlier run measured.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="Walltime of a job, as 4:00:00.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The data folder, where earlier runs are looked up.")] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object, sizes in bytes.")] = False,
) -> None:
    """Show how much memory a model needs, which GPUs hold it, and what to type. Downloads no weights."""
    from promptmill.commands.console import output
    from promptmill.fitting.advice import Wish
    from promptmill.fitting.answer import answer
    from promptmill.fitting.showing import command_lines, shown

    wish = Wish(model, revision, prompts, samples_per_prompt, max_new_tokens, time, str(data_dir))
    report = answer(
        wish,
        gpus=gpu or (),
        partition=partition,
        context=context,
        batch_size=batch_size,
        tokens_per_second=tokens_per_second,
    )
    if as_json:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
        return
    console = output()
    console.print(shown(report))
    command = command_lines(report)
    if command:
        console.print(f"\n{command}", soft_wrap=True, markup=False)
