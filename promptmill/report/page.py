"""The report as one HTML file: everything in it, nothing from elsewhere.

Texts of models and users come to the page by way of `visible` and Jinja's escaping alone. A content security
policy forbids any request and any script but the two of this file, should something get through nonetheless.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from promptmill import __version__
from promptmill.cost import shown_cost
from promptmill.progress import duration
from promptmill.report.drawing import DrawingFailed, library
from promptmill.report.histogram import quantile
from promptmill.report.rows import SampleRow
from promptmill.report.text import visible
from promptmill.report.values import Counts, Report
from promptmill.report.verdict import share

# A response may be as long as it likes; twenty of the longest must not make a file that no phone opens.
SHOWN_CHARACTERS = 10_000
SHOWN_NODES = 30
_GROUP_CHARACTERS = 300
_QUANTILES = {"shortest": 0.0, "median": 0.5, "90 %": 0.9, "longest": 1.0}


def page(report: Report) -> str:
    """The whole file."""
    (drawer, missing), own = _library(), _own("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            counts=report.counts,
            sampled=report.sampled,
            speed=report.speed,
            end=report.end,
            lengths=_lengths(report.counts),
            samples=[_sample(row) for row in report.samples],
            charts={} if missing else _charts(report),
            no_charts=missing,
            nodes=report.speed.nodes[:SHOWN_NODES],
            policy=_policy(drawer, own),
            style=_own("page.css"),
            library=drawer,
            script=own,
            version=__version__,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("promptmill.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "excerpt": lambda text: visible(" ".join(text.split()), _GROUP_CHARACTERS),
        "duration": duration,
        "moment": _moment,
        "number": lambda value: "?" if value is None else f"{value:,.0f}",
        "cost": shown_cost,
    }
    environment.globals["share"] = share
    return environment


def _library() -> tuple[str, str | None]:
    """The script that draws the charts, and why there is none."""
    try:
        # In a script element nothing ends a text but its end tag, which may stand in a string of the library.
        return library().replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r", ""), None
    except DrawingFailed as error:
        return "", str(error)


def _charts(report: Report) -> dict[str, Any]:
    from promptmill.report import charts

    found = {}
    if report.counts.measured:
        found["responses"] = charts.responses(report.counts.lengths)
        found["prompts"] = charts.prompts(report.counts.lengths)
    if len(report.speed.bins) > 2:
        found["speed"] = charts.speed(report.speed)
    return found


def _policy(*scripts: str) -> str:
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    # Vega makes functions of the charts' expressions, which is what unsafe-eval allows.
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _own(name: str) -> str:
    return (files("promptmill.report") / name).read_text(encoding="utf-8")


def _lengths(counts: Counts) -> list[tuple[str, list[int]]]:
    together: dict[int, int] = {}
    for of_reason in counts.lengths.responses.values():
        for length, rows in of_reason.items():
            together[length] = together.get(length, 0) + rows
    both = {"prompts": counts.lengths.prompts, "responses": together}
    return [(name, [quantile(found, part) for part in _QUANTILES.values()]) for name, found in both.items()]


def _sample(row: SampleRow) -> dict[str, Any]:
    """A row as the template shows it, each text cut and made visible."""
    return {
        "number": row.number,
        "reason": row.finish_reason,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "prompt": _parts(row.prompt),
        "response": visible(row.response, SHOWN_CHARACTERS),
        "error": None if row.error is None else visible(row.error, SHOWN_CHARACTERS),
    }


def _parts(prompt: str | list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    """Who says what."""
    if prompt is None:
        return [("prompt", "not readable any more")]
    if isinstance(prompt, str):
        return [("prompt", visible(prompt, SHOWN_CHARACTERS))]
    most = SHOWN_CHARACTERS // max(1, len(prompt))
    return [(_text(message.get("role")), visible(_text(message.get("content")), most)) for message in prompt]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
