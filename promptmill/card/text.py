"""The card as a whole, and the one that stands in its place while a dataset is being published."""

from __future__ import annotations

from promptmill.card.command import command, public_source
from promptmill.card.content import lengths, samples
from promptmill.card.making import made_with
from promptmill.card.markdown import block, cell, code, facts, table
from promptmill.card.metadata import CardOptions, header
from promptmill.demo import DEMO_ORIGIN
from promptmill.libraries import library_versions
from promptmill.model import kind_of, published_model
from promptmill.plan import PromptsManifest
from promptmill.run import Identity, RunFolder, recorded_identity, recorded_prompts_source
from promptmill.settings import RunSettings
from promptmill.shard import ShardCounts

PICTURE = "lengths.png"
_NONE = CardOptions()


def card_text(run: RunFolder, manifest: PromptsManifest, counts: ShardCounts, options: CardOptions = _NONE) -> str:
    """The whole card as Markdown with a YAML header, for the Parquet files that are in the run's dataset folder.

    Args:
        counts: of the rows in these files; fewer than the run will have make a card that says so.
    """
    settings, identity = run.settings, recorded_identity(run)
    files = sorted(run.dataset.glob("data/*.parquet"))
    source = public_source(recorded_prompts_source(run))
    sections = (
        header(options, counts.rows, files),
        f"# {cell(options.pretty_name or run.path.name)}",
        _growing(manifest, counts, len(files)),
        _summary(settings, identity, manifest, counts),
        f"## Load it\n\n{_loading(options.repo)}",
        f"## How rows ended\n\n{_reasons(counts)}",
        f"## Lengths in tokens\n\n{lengths(files)}{_picture(run, manifest, counts)}",
        f"## Examples\n\nThe first rows, cut.\n\n{samples(files)}",
        f"## Generated with\n\n{facts(made_with(run, identity, manifest, source))}",
        f"## Make it again\n\n{block(command(settings, identity, source), 'sh')}",
        f"## Columns\n\n{_columns(manifest)}",
        f"## Libraries\n\n{facts(library_versions())}",
    )
    return "\n\n".join(section.rstrip("\n") for section in sections if section) + "\n"


def interim_card(name: str, options: CardOptions = _NONE) -> str:
    """The card while the files are under way: the same at every attempt, so that it is sent once."""
    text = (
        "This dataset is being published and is **not complete yet**. If this does not change, its publication was "
        "interrupted; started again with the same command, it goes on from here."
    )
    return f"{header(options, 0, [])}\n# {cell(options.pretty_name or name)}\n\n{text}\n"


def _growing(manifest: PromptsManifest, counts: ShardCounts, files: int) -> str:
    if counts.rows >= manifest.rows:
        return ""
    return (
        f"> This dataset is **growing**: {counts.rows:,} of {manifest.rows:,} rows, "
        f"{files} of {len(manifest.shards)} files so far."
    )


def _summary(settings: RunSettings, identity: Identity, manifest: PromptsManifest, counts: ShardCounts) -> str:
    whose = "on a server" if identity.revision is None else f"(revision {code(identity.revision)})"
    return (
        f"{counts.rows:,} completions of {manifest.prompts.rows:,} prompts by {_model(settings)} "
        f"{whose}, generated with promptmill."
    )


def _reasons(counts: ShardCounts) -> str:
    meanings = {
        "stop": "ended by themselves",
        "length": "cut at max_new_tokens or the end of the context",
        "error": "not generated; the column `error` says why",
    }
    numbers = {"stop": counts.stop, "length": counts.length, "error": counts.error}
    rows = [[f"`{name}`", f"{numbers[name]:,}", _share(numbers[name], counts.rows), meanings[name]] for name in numbers]
    total = f"{counts.rows:,} rows, {counts.prompt_tokens:,} prompt tokens, {counts.completion_tokens:,} generated."
    if counts.uncounted:
        total += f" The tokens of {counts.uncounted:,} rows nobody counted."
    return f"{table(['finish_reason', 'rows', 'share', ''], rows)}\n\n{total}"


def _picture(run: RunFolder, manifest: PromptsManifest, counts: ShardCounts) -> str:
    """The picture of the lengths, once the dataset is whole; it may be missing, as no dataset fails for want of it."""
    measured = counts.uncounted < counts.stop + counts.length or not counts.uncounted
    if counts.rows < manifest.rows or not measured or not (run.dataset / PICTURE).is_file():
        return ""
    return f"\n\n![How many responses have which length in tokens, by how they ended]({PICTURE})"


def _loading(repo: str | None) -> str:
    call = f'load_dataset("{repo or "PATH_OR_REPO"}", split="train")'
    return block(f"from datasets import load_dataset\n\ndataset = {call}", "python")


def _columns(manifest: PromptsManifest) -> str:
    meanings = {
        "prompt_id": "stable id of the prompt",
        "sample_index": "which of the samples of that prompt",
        manifest.prompts.kind: "what the model was given",
        "response": "the text generated alone",
        "finish_reason": "`stop`, `length` or `error`",
        "prompt_tokens": "tokens of the prompt, chat template included",
        "completion_tokens": "tokens generated",
        "seed": "the row's own seed",
        "model": "the model",
        "revision": "its commit",
        "error": "why a row could not be generated",
        **{column.name: "from the prompts" for column in manifest.prompts.columns},
    }
    return table(["column", ""], [[code(name), meaning] for name, meaning in meanings.items()])


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _model(settings: RunSettings) -> str:
    if settings.loads_model and kind_of(settings.model) == "demo":
        return f"`demo` ({DEMO_ORIGIN}, 4-bit GGUF weights de-quantized)"
    return code(published_model(settings))
