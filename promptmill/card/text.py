"""The card as a whole, and the one that stands in its place while a dataset is being published."""

from __future__ import annotations

from promptmill.card.command import command, public_source
from promptmill.card.content import lengths, samples
from promptmill.card.making import made_with
from promptmill.card.markdown import block, cell, code, facts, table
from promptmill.card.metadata import CardOptions, header
from promptmill.card.training import training
from promptmill.columns import CONVERSATION, layout_of, leaves_out_errors, own_names
from promptmill.demo import DEMO_ORIGIN
from promptmill.libraries import all_versions, library_versions, several
from promptmill.model import kind_of, published_model
from promptmill.plan import PromptsManifest, complete_shards
from promptmill.prompts.table import output_names
from promptmill.run import Identity, RunFolder, recorded_identity, recorded_prompts_source
from promptmill.settings import RunSettings
from promptmill.shard import ShardCounts

PICTURE = "lengths.png"
_NONE = CardOptions()
_MEANINGS = {
    "prompt": "what the model was given",
    "messages": "what the model was given",
    "response": "the text generated alone",
    "completion": "the text generated alone",
}


def card_text(run: RunFolder, manifest: PromptsManifest, counts: ShardCounts, options: CardOptions = _NONE) -> str:
    """The whole card as Markdown with a YAML header, for the Parquet files that are in the run's dataset folder.

    Args:
        counts: of the rows in these files; fewer than the run will have make a card that says so.
    """
    settings, identity = run.settings, recorded_identity(run)
    files = sorted(run.dataset.glob("data/*.parquet"))
    source = public_source(recorded_prompts_source(run))
    layout = layout_of(run)
    rows = counts.rows - counts.error if leaves_out_errors(layout) else counts.rows
    sections = (
        header(options, rows, files),
        f"# {cell(options.pretty_name or run.path.name)}",
        _growing(manifest, counts, len(files)),
        _summary(settings, identity, manifest, rows),
        f"## Load it\n\n{_loading(options.repo)}",
        f"## Train on it\n\n{training(options.repo, settings, identity, manifest, layout)}",
        f"## How rows ended\n\n{_reasons(counts, layout)}",
        f"## Lengths in tokens\n\n{lengths(files)}{_picture(run, manifest, counts)}",
        f"## Examples\n\nThe first rows, cut.\n\n{samples(files)}",
        f"## Generated with\n\n{facts(made_with(run, identity, manifest, source))}",
        f"## Make it again\n\n{block(command(settings, identity, source, layout), 'sh')}",
        f"## Columns\n\n{_columns(manifest, layout)}",
        f"## Libraries\n\n{_libraries(run, manifest)}",
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


def _summary(settings: RunSettings, identity: Identity, manifest: PromptsManifest, rows: int) -> str:
    whose = "on a server" if identity.revision is None else f"(revision {code(identity.revision)})"
    return (
        f"{rows:,} completions of {manifest.prompts.rows:,} prompts by {_model(settings)} "
        f"{whose}, generated with promptmill."
    )


def _reasons(counts: ShardCounts, layout: str | None) -> str:
    meanings = {
        "stop": "ended by themselves",
        "length": "cut at max_new_tokens or the end of the context",
        "error": "not generated, and left out here"
        if leaves_out_errors(layout)
        else "not generated; the column `error` says why",
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


def _columns(manifest: PromptsManifest, layout: str | None) -> str:
    meanings = {
        "prompt_id": "stable id of the prompt",
        "sample_index": "which of the samples of that prompt",
        **_own_meanings(layout, manifest.prompts.kind),
        "finish_reason": "`stop`, `length` or `error`",
        "prompt_tokens": "tokens of the prompt, chat template included",
        "completion_tokens": "tokens generated",
        "seed": "the row's own seed",
        "model": "the model",
        "revision": "its commit",
        "error": "why a row could not be generated",
    }
    own = output_names([column.name for column in manifest.prompts.columns], meanings)
    meanings |= {column.name: "from the prompts" for column in own}
    return table(["column", ""], [[code(name), meaning] for name, meaning in meanings.items()])


def _own_meanings(layout: str | None, kind: str) -> dict[str, str]:
    if layout == CONVERSATION:
        return {"messages": "the whole conversation, the answer last"}
    return {name: _MEANINGS[name] for name in own_names(layout, kind)}


def _libraries(run: RunFolder, manifest: PromptsManifest) -> str:
    """What the rows were made with, which may be others than those at hand now, and more than one of a kind."""
    noted = [versions for shard in complete_shards(run, manifest).values() for versions in shard.libraries]
    versions = all_versions(noted or [library_versions()])
    told = facts({name: ", ".join(ones) for name, ones in versions.items()})
    if not (differing := several(versions)):
        return told
    return (
        f"> Not all rows were made with the same versions: {cell(differing)}. Each may round a little differently, "
        f"so rows made again with one of them need not all be the same to the last letter.\n\n{told}"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _model(settings: RunSettings) -> str:
    if settings.loads_model and kind_of(settings.model) == "demo":
        return f"`demo` ({DEMO_ORIGIN}, 4-bit GGUF weights de-quantized)"
    return code(published_model(settings))
