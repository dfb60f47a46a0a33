"""The status for people: at most 80 columns, the same words in a pipe."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promptmill.cost import shown_cost
from promptmill.progress import duration
from promptmill.status.values import ProcessRate, RunStatus

_COLOURS = {
    "complete": "green",
    "running": "cyan",
    "loading": "cyan",
    "waiting": "yellow",
    "stopped": "yellow",
    "ended": "red",
}
_NEXT = {
    "complete": "the dataset is in its folder",
    "running": "",
    "loading": "the model is being loaded",
    "waiting": "Slurm has the jobs in its queue",
    "stopped": "start the same command again to go on",
    "ended": "it would not help to go on as it is",
}
MOST_PROCESSES = 12


def shown(status: RunStatus) -> RenderableType:
    """The whole status."""
    parts: list[RenderableType] = [_headline(status), _numbers(status)]
    if status.processes:
        parts.append(_processes(status.processes))
    if status.reason:
        parts.append(Text(f"\nWhy it ended: {status.reason}"))
    if status.refused_nodes:
        parts.append(Text(f"\nNodes that cannot do this run: {', '.join(status.refused_nodes)}"))
    if status.errors:
        parts.append(Text("\nLast errors"))
        parts += [Text(f"  {one.text}\n    in {one.log or 'its record'}") for one in status.errors]
    return Group(*parts)


def _headline(status: RunStatus) -> Text:
    text = Text(status.run, style="bold", overflow="fold")
    text.append("\n")
    text.append(status.state, style=_COLOURS[status.state])
    if _NEXT[status.state]:
        text.append(f": {_NEXT[status.state]}", style="not bold")
    return text


def _numbers(status: RunStatus) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    shards = status.shards
    about = "" if status.exact else "about "
    share = f" ({100 * status.rows / status.rows_total:.1f} %)" if status.rows_total else ""
    rows = {
        "rows": f"{about}{status.rows:,} of {status.rows_total:,}{share}",
        "shards": f"{shards.done} done, {shards.running} running, {shards.waiting} waiting, {shards.lost} lost"
        f" of {shards.total}",
        "tokens": f"{status.tokens:,}",
        **({} if status.cost is None else {"cost": f"{shown_cost(status.cost)} so far"}),
        "tokens/s": f"{status.tokens_per_second_now:,.0f} now, {status.tokens_per_second_overall:,.0f} overall",
        "time left": _time_left(status),
        "restarts": f"{status.restarts}, of them {status.preemptions} by preemption or kill",
        "made again": _made_again(status),
        "jobs": _jobs(status),
        "published": status.published or "no",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _time_left(status: RunStatus) -> str:
    if status.rows_total and status.rows >= status.rows_total:
        return "none, every row is there"
    if status.eta_seconds is None:
        return "unknown while nothing is generated"
    return f"about {duration(status.eta_seconds)}"


def _made_again(status: RunStatus) -> str:
    if status.made_again is None:
        return "not counted outside of Slurm"
    return f"{status.made_again:,} rows ({100 * status.made_again / max(status.rows, 1):.1f} %)"


def _jobs(status: RunStatus) -> str:
    if status.jobs is None:
        return "Slurm does not answer; all this is from files"
    return ", ".join(f"{count} {state}" for state, count in sorted(status.jobs.items())) or "none in Slurm"


def _processes(processes: tuple[ProcessRate, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    for name in ("node", "GPU", "job", "doing"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("rows/s", "tokens/s", "heard"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in processes[:MOST_PROCESSES]:
        table.add_row(
            one.node,
            one.devices or "",
            one.job or "",
            one.doing,
            f"{one.rows_per_second:.1f}",
            f"{one.tokens_per_second:.0f}",
            f"{duration(one.quiet_seconds)} ago",
        )
    if len(processes) > MOST_PROCESSES:
        table.add_row(f"and {len(processes) - MOST_PROCESSES} more", *[""] * 6)
    return table
