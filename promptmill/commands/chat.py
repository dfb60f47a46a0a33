"""`promptmill chat`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from promptmill.commands.ending import ending_on_error
from promptmill.placing.options import OFFLOADS
from promptmill.sampling import SamplingParameters
from promptmill.settings import DTYPES, QUANTIZATIONS

EXAMPLE = (
    "Example: promptmill chat demo --system 'Be brief.' In a pipe: "
    "printf 'Name a colour.\\nAnother one.\\n' | promptmill chat demo --temperature 0 > answers.txt"
)
_DEFAULT = SamplingParameters()


@ending_on_error
def chat(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="demo, a Hub repo id such as Qwen/Qwen2.5-7B-Instruct, or a folder.")
    ],
    system: Annotated[str | None, typer.Option("--system", "--system-prompt", help="System message.")] = None,
    quantization: Annotated[
        str, typer.Option(help=f"One of {', '.join(QUANTIZATIONS)}.", autocompletion=lambda: list(QUANTIZATIONS))
    ] = "none",
    dtype: Annotated[
        str, typer.Option(help=f"One of {', '.join(DTYPES)}.", autocompletion=lambda: list(DTYPES))
    ] = "auto",
    temperature: Annotated[float, typer.Option(help="0 is greedy decoding.")] = _DEFAULT.temperature,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling; 1 is off.")] = _DEFAULT.top_p,
    top_k: Annotated[int, typer.Option(help="The k most likely tokens only; 0 is off.")] = _DEFAULT.top_k,
    min_p: Annotated[
        float, typer.Option(help="Only tokens so likely, as a share of the likeliest; 0 is off.")
    ] = _DEFAULT.min_p,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: tokens that came before are less likely.")
    ] = _DEFAULT.repetition_penalty,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = _DEFAULT.max_new_tokens,
    stop: Annotated[
        list[str] | None, typer.Option(help="String that ends an answer; may be given several times.")
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(help="The name of one of the model's chat templates, @FILE with one, or none, for plain text."),
    ] = None,
    keep_special_tokens: Annotated[
        bool, typer.Option("--keep-special-tokens", help="Show special tokens inside answers, as those of reasoning.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed and prompts give the same answers.")] = 0,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub model.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The data folder, where what is made of models is kept.")] = Path(
        "data"
    ),
    device_map: Annotated[str | None, typer.Option(help="cpu, auto, or a JSON object of module to GPU.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Most memory to use, as 10GiB a GPU, or JSON.")] = None,
    gpus_per_copy: Annotated[int | None, typer.Option(help="GPUs for the model. Default: as few as hold it.")] = None,
    offload: Annotated[
        str,
        typer.Option(help=f"Where it may spill: {', '.join(OFFLOADS)}.", autocompletion=lambda: list(OFFLOADS)),
    ] = "cpu",
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="Accept weights that are pickles.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the Python code that comes with the model.")
    ] = False,
) -> None:
    """Talk to a model, loaded and sampled as in a dataset run. /help lists what one can do; Ctrl-D leaves.

    In a pipe: a prompt a line in, answers out; everything else is on standard error.
    """
    from promptmill.chat.settings import ChatSettings, stop_strings
    from promptmill.placing.options import PlacementOptions
    from promptmill.prompts import chat_template_text

    settings = ChatSettings(
        model=model,
        revision=revision,
        data=data_dir,
        dtype=dtype,
        quantization=quantization,
        placement=PlacementOptions.parsed(
            device_map=device_map, max_memory=max_memory, gpus_per_copy=gpus_per_copy, offload=offload
        ),
        sampling=SamplingParameters(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            stop=stop_strings(stop or []),
        ),
        seed=seed,
        system=system,
        allow_pickle=allow_pickle,
        trust_remote_code=trust_remote_code,
        keep_special_tokens=keep_special_tokens,
        chat_template=chat_template_text(chat_template) if chat_template else None,
    )
    _set_up_log()
    from promptmill.chat.talking import talk

    trouble = talk(settings)
    if trouble is not None:
        raise typer.Exit(trouble.exit_code)


def _set_up_log() -> None:
    """What promptmill does before the chat begins (a download, a conversion), in plain lines on standard error."""
    logger = logging.getLogger("promptmill")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # What it says of the loaded model, the chat says in its own words.
    logging.getLogger("promptmill.engine.loading").setLevel(logging.WARNING)
    logging.getLogger("promptmill.engine.finish").setLevel(logging.ERROR)
