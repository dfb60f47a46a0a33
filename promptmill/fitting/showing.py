"""The answer for people: at most 80 columns, the same words in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promptmill.fitting.advice import PoolFit, shell_lines
from promptmill.fitting.memory import MemoryRow
from promptmill.fitting.pools import Pool
from promptmill.fitting.report import FitReport
from promptmill.fitting.speed import Duration
from promptmill.placing.fit import MOST_GPUS
from promptmill.placing.memory import GIB, MIB

KIB = 1 << 10
_SHORT = {"float16/bfloat16": "16 bits"}


def shown(report: FitReport) -> RenderableType:
    """The whole answer but the command, which must not be wrapped."""
    parts: list[RenderableType] = [_headline(report), _memory(report)]
    if report.fits:
        parts.append(_gpus(report))
    if report.notes:
        parts += ["", _listed(report.notes)]
    if report.fits:
        parts += _advice(report)
    if report.duration is not None:
        parts.append(Text("\n".join(["", *_time(report.duration)])))
    return Group(*parts)


def command_lines(report: FitReport) -> str | None:
    """The recommended command, as it can be pasted into a shell."""
    return shell_lines(report.command) if report.command else None


def _headline(report: FitReport) -> Text:
    model, shape = report.model, report.model.shape
    about = "" if model.exact else "about "
    facts = [
        f"{shape.model_type}, {about}{shape.parameters / 1e9:.2f} billion parameters",
        f"{shape.layers + shape.window_layers} layers",
        f"{shape.context:,} positions" if shape.context else "no limit of positions",
    ]
    if model.stored_bytes is not None:
        facts.append(f"{model.stored_bytes / 1e9:.2f} GB as {model.stored_dtype}")
    text = Text(model.source.name, style="bold", overflow="fold")
    if model.source.revision:
        text.append(f" at {model.source.revision[:12]}", style="not bold")
    return text.append(f"\n{', '.join(facts)}\n", style="not bold")


def _memory(report: FitReport) -> Group:
    title = Text(f"Memory in GiB on one GPU, for {report.rows} rows of {report.positions:,} positions", style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("", no_wrap=True)
    names = ("weights", "unquan-\ntised", "KV a\ntoken", "KV\ncache", "activations\nand logits", "CUDA", "total")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.memory:
        table.add_row(*_memory_cells(row), style="dim" if row.reason else "")
    return Group(title, table)


def _memory_cells(row: MemoryRow) -> Iterator[str]:
    yield row.precision
    if row.reason:
        yield from ["–"] * 7
        return
    yield _gib(row.weights)
    yield _gib(row.unquantised) if row.unquantised else ""
    yield f"{row.kv_token / KIB:,.0f} KiB"
    for size in (row.kv_cache, row.working, row.context, row.total):
        yield _gib(size)


def _gpus(report: FitReport) -> Group:
    title = Text("\nGPUs that one copy takes, and the most rows at a time", style="bold")
    precisions = list(dict.fromkeys(one.precision for one in report.fits))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("", overflow="fold")
    table.add_column("GiB", justify="right", no_wrap=True)
    for name in precisions:
        table.add_column(_SHORT.get(name, name), justify="right", no_wrap=True)
    pools = list(dict.fromkeys(one.pool for one in report.fits))
    for pool in pools:
        of_pool = {one.precision: one for one in report.fits if one.pool == pool}
        cells = [_cell(of_pool[name]) if name in of_pool else Text("") for name in precisions]
        table.add_row(_pool_name(pool), f"{pool.memory / GIB:.0f}", *cells)
    return Group(title, table)


def _pool_name(pool: Pool) -> str:
    name = pool.gpu if pool.is_cpu or pool.listed else f"{pool.count} × {pool.gpu}"
    if pool.partition:
        name += f", {pool.partition}" + (f" ({pool.nodes} nodes)" if pool.nodes > 1 else "")
    return f"{name}, here" if pool.here else name


def _cell(one: PoolFit) -> Text:
    if one.fit.reason:
        return Text("no", style="dim")
    if one.fit.decision is None:
        return Text("no" if one.pool.is_cpu else f"over {MOST_GPUS}", style="red")
    if one.pool.is_cpu:
        return Text(f"{one.fit.rows} rows", style="green")
    if not one.fit.available:
        return Text(f"needs {one.fit.gpus}", style="yellow")
    return Text(f"{one.fit.gpus}, {one.fit.rows} rows", style="green" if one.fit.gpus == 1 else "yellow")


def _advice(report: FitReport) -> Iterator[RenderableType]:
    if report.choice is not None:
        yield Text(f"\nRecommended: {_choice(report.choice)}")
        if report.warnings:
            yield _listed(report.warnings)
        return
    smallest = next((row for row in reversed(report.memory) if not row.reason), None)
    least = f" With {smallest.precision}, the smallest that there is:" if smallest is not None else ""
    yield Text(f"\nNothing at hand holds it, whatever the precision.{least}")
    yield _listed(report.steps, numbered=True)


def _listed(texts: Sequence[str], *, numbered: bool = False) -> Table:
    """One under the other, each with its lines below its beginning."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for number, text in enumerate(texts, start=1):
        table.add_row(f"{number}." if numbered else "-", Text(text))
    return table


def _choice(choice: PoolFit) -> str:
    quantization = choice.fit.quantization
    what = choice.fit.dtype if quantization == "none" else f"{quantization}, computing in {choice.fit.dtype}"
    if choice.pool.is_cpu:
        return f"{what} on the CPU, up to {choice.fit.rows} rows at a time."
    gpus = f"{choice.fit.gpus} × {choice.pool.gpu}"
    many = f" ({choice.copies} at the same time)" if choice.copies > 1 else ""
    return f"{what}, {gpus} a copy{many}, up to {choice.fit.rows} rows at a time."


def _time(found: Duration) -> Iterator[str]:
    from promptmill.progress import duration  # which takes pyarrow along

    yield f"Time: {found.rows:,} rows, at most {found.tokens:,} tokens."
    if found.speed is None or found.seconds is None:
        yield "Tokens/s are not known: give --tokens-per-second, or place the model once and ask again."
        return
    at = f"{found.speed.tokens_per_second:,.0f} tokens/s a copy ({found.speed.source})"
    yield f"At {at} and {found.copies} at a time: {duration(found.seconds)} if no row stops early."
    if found.starts is not None and found.walltime is not None:
        again = "is enough" if found.starts == 1 else f"means {found.starts - 1} requeues of each job"
        yield f"A walltime of {duration(found.walltime)} {again}."


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f}" if size >= GIB / 10 else f"{size / GIB:.3f}" if size >= MIB else "0.000"
