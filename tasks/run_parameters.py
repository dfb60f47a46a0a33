"""The parameters of a run, as Luigi takes them from the command line and luigi.cfg."""

from __future__ import annotations

from pathlib import Path

from promptmill.columns import LAYOUTS
from promptmill.files import storage_errors
from promptmill.sampling import SamplingParameters
from promptmill.settings import DEMO, DTYPES, ENDPOINT_APIS, ENGINES, QUANTIZATIONS
from promptmill.sharing import share_with_group
from tasks.parameters import PATH, Setting, expanded, integer, number, path, strings, switch

DEFAULTS = SamplingParameters()


def _model(text: str) -> str:
    # What a server calls its model may begin with anything; `~` of a local folder is expanded where that is known.
    return expanded(text) if text.startswith("$") else text


def _template(text: str) -> str:
    return f"@{expanded(text[1:])}" if text.startswith("@") else text


class RunParameters:
    """The settings of a run: significant if they change the bytes of its dataset."""

    model = Setting(
        _model,
        kind=PATH,
        default=DEMO,
        description="`demo`, a Hub repo id such as gpt2, or a local folder. Default: demo.",
    )
    revision = Setting(default=None, description="Branch, tag or commit of the model. Default: main.")
    prompts = path(
        default=None,
        description="File, folder or glob (.txt .jsonl .json .csv .tsv .parquet) or Hub dataset as OWNER/NAME, "
        "OWNER/NAME:SPLIT or OWNER/NAME:CONFIG:SPLIT, with @REVISION after the name. "
        "Default: 44 varied prompts that come with promptmill.",
    )
    prompt_column = Setting(
        default=None,
        description="Column that holds the prompt, or a dotted path into one, as body.messages. Default: prompt, "
        "messages, instruction, text or conversations.",
    )
    drop_last_answer = switch(
        description="Leave out the assistant's turn that messages end with, so that the model answers instead."
    )
    prompt_per_file = switch(description="Make one prompt of each .txt file, instead of one a line.")
    keep_special_tokens = switch(
        description="Keep special tokens inside completions, as of tool calls or channels, in the responses."
    )
    file_column = Setting(default=None, description="Column to write the name of a row's file into. Default: none.")
    template = Setting(
        _template,
        kind=PATH,
        default=None,
        description="Jinja2 template over a row's columns that makes the prompt, or @FILE that holds one.",
    )
    system_prompt = Setting(default=None, description="System message before each prompt (chat models).")
    chat_template = Setting(
        _template,
        kind=PATH,
        default=None,
        description="The name of one of the model's chat templates, @FILE with one, or none, for prompts as they are. "
        "Default: the model's own.",
    )
    split_special_tokens = switch(
        description="Read control tokens inside prompts, as <|im_end|>, as text. Default: as the tokens."
    )
    limit = integer(default=None, description="Only the first so many prompts. Default: all.")
    samples_per_prompt = integer(default=1, description="Completions a prompt. Default: 1.")
    max_new_tokens = integer(
        default=DEFAULTS.max_new_tokens, description=f"Most tokens of a completion. Default: {DEFAULTS.max_new_tokens}."
    )
    temperature = number(
        default=DEFAULTS.temperature, description=f"0 is greedy decoding. Default: {DEFAULTS.temperature}."
    )
    top_p = number(default=DEFAULTS.top_p, description=f"Nucleus sampling; 1 is off. Default: {DEFAULTS.top_p}.")
    top_k = integer(default=DEFAULTS.top_k, description="The k most likely tokens only. Default: 0, off.")
    min_p = number(
        default=DEFAULTS.min_p, description="Only tokens so likely, as a share of the likeliest. Default: 0, off."
    )
    repetition_penalty = number(
        default=DEFAULTS.repetition_penalty,
        description="Above 1: tokens that came before are less likely. Default: 1, off.",
    )
    seed = integer(default=0, description="Of the run; each row derives its own. Default: 0.")
    stop = strings(
        default=(), description='String that ends a completion, or several as \'["a", "b"]\'. Default: none.'
    )
    dtype = Setting(
        default="auto", description=f"One of {', '.join(DTYPES)}. Default: auto, what the hardware does well."
    )
    quantization = Setting(
        default="none", description=f"One of {', '.join(QUANTIZATIONS)} (bitsandbytes). Default: none."
    )
    engine = Setting(default="transformers", description=f"One of {', '.join(ENGINES)}. Default: transformers.")
    trust_remote_code = switch(
        description="Run the Python code that comes with the model. Default: off, such a model is refused."
    )
    endpoint_api = Setting(
        default=None,
        description=f"One of {', '.join(ENDPOINT_APIS)} (--engine endpoint). Default: chat for messages or with "
        "--system-prompt, else completions.",
    )
    columns = Setting(
        default=None,
        significant=False,
        description=f"How rows are laid out: {', '.join(LAYOUTS)}. Default: flat, a prompt and its response; the "
        "others are what trainers take.",
    )
    data_dir = path(default="data", significant=False, description="Where everything is kept. Default: ./data.")
    group_shared = switch(
        significant=False,
        description="Let your group go on in this data folder: writable for the folder's group, now and from then on. "
        "Default: as the umask says.",
    )
    name = Setting(default=None, description="Name of the run. Default: made of model, prompts and settings.")

    def share_data(self) -> None:
        """Open the data folder to its group, if that was asked for.

        Raises:
            StorageError: it cannot be made, or is somebody else's.
        """
        if self.group_shared:
            data = Path(self.data_dir)
            with storage_errors(data):
                share_with_group(data)
