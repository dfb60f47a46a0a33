"""The charts of the report, as Vega-Lite made with Altair.

Colours are CSS variables: the page's style sheet decides on them for light, dark and print, and nothing is
drawn again when they change. The still has no style sheet and gets plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

from promptmill.report.histogram import Histogram, histogram
from promptmill.report.values import Lengths, Speed

_DAYS_SECONDS = 20 * 3600
REASONS = {"stop": "ended by itself", "length": "cut at the limit"}
_WHY = {
    "told to stop": "told to stop",
    "preempted": "preempted",
    "walltime": "reached the walltime",
    "killed": "killed",
    "failed": "failed",
    "stalled": "stood still",
}


@dataclass(frozen=True)
class Colours:
    """What is drawn in which colour."""

    ink: str
    muted: str
    line: str
    accent: str
    second: str
    mark: str
    font: str


PAGE = Colours(
    ink="var(--ink)",
    muted="var(--muted)",
    line="var(--line)",
    accent="var(--accent)",
    second="var(--second)",
    mark="var(--red)",
    font="system-ui, sans-serif",
)
PRINTED = Colours(
    ink="#1b1f24",
    muted="#57606a",
    line="#e4e7eb",
    accent="#2a67c9",
    second="#d98a1f",
    mark="#c4302b",
    font="Liberation Sans",
)


def responses(lengths: Lengths, colours: Colours = PAGE, *, width: int | None = None) -> dict[str, Any]:
    """How long responses are, by how they ended."""
    found = histogram(lengths.responses)
    names = [REASONS.get(reason, reason) for reason in found.reasons]
    scale = alt.Scale(domain=names, range=[colours.accent, colours.second])
    colour = alt.Color("ended:N", scale=scale, sort=names, legend=alt.Legend(title=None, orient="top", offset=6))
    chart = _bars(found).encode(color=colour, order=alt.Order("order:O"))
    return _finished(chart, colours, width, "Responses by their length in tokens and by how they ended")


def prompts(lengths: Lengths, colours: Colours = PAGE) -> dict[str, Any]:
    """How long prompts are."""
    chart = _bars(histogram({"": lengths.prompts}), tooltip_reason=False).encode(color=alt.value(colours.accent))
    return _finished(chart, colours, None, "Prompts by their length in tokens")


def speed(told: Speed, colours: Colours = PAGE) -> dict[str, Any]:
    """Tokens a second over time, with a line where processes were interrupted and where the run went on."""
    bins = [
        {"from": _moment(one.start), "to": _moment(one.stop), "rate": round(one.tokens_per_second, 1)}
        for one in told.bins
    ]
    marks = [
        {"at": _moment(one.at), "what": f"{one.processes} × {_WHY[one.why]}", "kind": "interrupted"}
        for one in told.interruptions
    ]
    marks += [{"at": _moment(at), "what": "went on", "kind": "went on"} for at in told.resumed]
    days = bool(told.bins) and told.bins[-1].stop - told.bins[0].start > _DAYS_SECONDS
    times = alt.Axis(title="UTC", format="%b %d, %H:%M" if days else "%H:%M", tickCount=6, grid=False)
    bars = (
        alt.Chart(alt.InlineData(values=bins))
        .mark_rect(color=colours.accent)
        .encode(
            x=alt.X("from:T", scale=alt.Scale(type="utc"), axis=times),
            x2="to:T",
            y=alt.Y("rate:Q", title="tokens/s", axis=alt.Axis(format=",d", tickCount=4)),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("utcFrom:N", title="from"),
                alt.Tooltip("utcTo:N", title="to"),
                alt.Tooltip("rate:Q", title="tokens/s", format=",.0f"),
            ],
        )
        .transform_calculate(utcFrom=_utc("from"), utcTo=_utc("to"))
    )
    if not marks:
        return _finished(bars, colours, None, "Tokens a second over time")
    return _finished(bars + _marks(marks, colours), colours, None, "Tokens a second over time, with interruptions")


def _marks(marks: list[dict[str, Any]], colours: Colours) -> Any:
    """A line for each, and around it a wider one that cannot be seen: a pointer hardly meets a line of two pixels."""
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=2)
    scale = alt.Scale(domain=["interrupted", "went on"], range=[colours.mark, colours.second])
    at = alt.X("at:T", scale=alt.Scale(type="utc"))
    base = alt.Chart(alt.InlineData(values=marks)).transform_calculate(utcAt=_utc("at"))
    lines = base.mark_rule(strokeWidth=2).encode(
        x=at,
        color=alt.Color("kind:N", scale=scale, legend=legend),
        strokeDash=alt.condition("datum.kind == 'interrupted'", alt.value([4, 3]), alt.value([1, 0])),
    )
    around = base.mark_rule(strokeWidth=14, opacity=0).encode(
        x=at, tooltip=[alt.Tooltip("utcAt:N", title="at"), alt.Tooltip("what:N", title="what")]
    )
    return lines + around


def _bars(found: Histogram, *, tooltip_reason: bool = True) -> Any:
    values = [
        {
            "from": bar.start,
            "to": bar.stop,
            "rows": bar.rows,
            "ended": REASONS.get(bar.reason, bar.reason),
            "order": found.reasons.index(bar.reason),
            "tokens": found.label(bar),
        }
        for bar in found.bars
    ]
    tooltip = [alt.Tooltip("tokens:N", title="tokens"), alt.Tooltip("rows:Q", title="rows", format=",")]
    if tooltip_reason:
        tooltip.insert(0, alt.Tooltip("ended:N", title="ended"))
    return (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("from:Q", bin="binned", title="tokens", axis=alt.Axis(format=",d", tickCount=6, grid=False)),
            x2="to:Q",
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(format=",d", tickCount=4, tickMinStep=1)),
            tooltip=tooltip,
        )
    )


def _finished(chart: Any, colours: Colours, width: int | None, description: str) -> dict[str, Any]:
    sized = chart.properties(width=width or "container", height=220, description=description)
    config: Mapping[str, Any] = {
        "background": "transparent" if width is None else "#ffffff",
        "font": colours.font,
        "view": {"stroke": None},
        "axis": {
            "labelColor": colours.muted,
            "titleColor": colours.muted,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "domainColor": colours.line,
            "tickColor": colours.line,
            "gridColor": colours.line,
        },
        "legend": {"labelColor": colours.ink, "labelFontSize": 13},
    }
    return {**sized.to_dict(), "config": config, "autosize": {"type": "fit-x", "contains": "padding"}}


def _utc(field: str) -> str:
    return f"utcFormat(datum.{field}, '%Y-%m-%d %H:%M:%S')"


def _moment(seconds: float) -> int:
    """Milliseconds since 1970, as JavaScript counts."""
    return round(1000 * seconds)
