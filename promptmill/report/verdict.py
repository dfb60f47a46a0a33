"""Is this dataset any good, and did the run go well? A sentence, and what is worth a look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from promptmill.progress import duration
from promptmill.report.values import Counts, Finding, Level, RunEnd, Sampled, Speed, Verdict

_ORDER: dict[Level, int] = {"good": 0, "look": 1, "bad": 2}
_WORDS: dict[Level, str] = {"good": "Looks good", "look": "Worth a look", "bad": "Not usable as it is"}


@dataclass(frozen=True)
class _Limit:
    """From which shares on something is worth a look, and from which it spoils the dataset.

    They are rules of thumb, so that a report has one opinion; none of them stops or drops anything.
    """

    look: float
    bad: float = 1.01


ERRORS = _Limit(0.01, 0.2)
BLANK = _Limit(0.01, 0.2)
# A base model often ends at the limit and nowhere else; its rows can be of use all the same.
CUT = _Limit(0.2)
COPIES = _Limit(0.05, 0.5)
NEAR = _Limit(0.25)
REFUSALS = _Limit(0.05)
OPENING = _Limit(0.3)
MADE_AGAIN = _Limit(0.05)
_FEW_ROWS = 20


def judge(counts: Counts, sampled: Sampled, speed: Speed, end: RunEnd, max_new_tokens: int) -> Verdict:
    """The verdict on what was counted."""
    findings = sorted(
        [*_of_rows(counts, max_new_tokens), *_of_texts(counts, sampled), *_of_run(counts, speed, end)],
        key=lambda finding: -_ORDER[finding.level],
    )
    # Sorted by level, and a row that is missing is a finding.
    level: Level = findings[0].level if findings else "good"
    word = _WORDS[level] if counts.rows >= counts.total or level == "bad" else "Not finished"
    return Verdict(level, word, _sentence(counts, sampled, speed), tuple(findings))


def share(part: float, whole: float) -> str:
    """A percentage for people; a few are never told as none, nor almost all as all."""
    if not whole:
        return "0\N{NO-BREAK SPACE}%"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "under 0.1\N{NO-BREAK SPACE}%"
    if 99.9 < percent < 100:
        return "over 99.9\N{NO-BREAK SPACE}%"
    digits = 0 if percent in (0, 100) or percent >= 10 else 1
    return f"{percent:.{digits}f}\N{NO-BREAK SPACE}%"


def _sentence(counts: Counts, sampled: Sampled, speed: Speed) -> str:
    have = "All" if counts.rows >= counts.total else f"{counts.rows:,} of the"
    parts = [f"{have} {counts.total:,} rows are there", _with_errors(counts)]
    parts.append(f"{share(counts.reasons.get('length', 0), counts.answered)} were cut at the token limit")
    parts.append(f"{share(counts.copies, counts.answered)} repeat another response word for word")
    text = f"{', '.join(parts[:-1])} and {parts[-1]}."
    return f"{text} {_run_sentence(speed)}" if speed.began is not None else text


def _with_errors(counts: Counts) -> str:
    errors = counts.reasons.get("error", 0)
    return "none of them with an error" if not errors else f"{errors:,} of them ({share(errors, counts.rows)}) failed"


def _run_sentence(speed: Speed) -> str:
    times = sum(one.processes for one in speed.interruptions)
    broken = "without interruption" if not times else f"with {_plural(times, 'interruption')} of a process"
    # Tokens that nobody counted have no rate.
    rate = f" at {speed.tokens_per_second:,.0f} tokens/s" if speed.tokens_per_second else ""
    return f"They took {duration(speed.busy)} of generating{rate}, {broken}."


def _of_rows(counts: Counts, max_new_tokens: int) -> Iterator[Finding]:
    missing = counts.total - counts.rows
    if missing:
        yield Finding(
            "look",
            f"{_plural(missing, 'row')} of {counts.total:,} {'is' if missing == 1 else 'are'} still to be made.",
            "Start the same command again: it makes only those.",
        )
    errors, cut = counts.reasons.get("error", 0), counts.reasons.get("length", 0)
    if level := _level(errors, counts.rows, ERRORS, always=True):
        first = f" Most often: {counts.errors[0].text}" if counts.errors else ""
        yield Finding(
            level,
            f"{_plural(errors, 'row')} ({share(errors, counts.rows)}) could not be generated.{first}",
            'They have finish_reason "error" and no response; leave them out when you train.',
        )
    if level := _level(cut, counts.answered, CUT):
        yield Finding(
            level,
            f"{share(cut, counts.answered)} of the responses were cut at {max_new_tokens:,} tokens or the end of the "
            "context.",
            "Raise --max-new-tokens, ask for shorter answers, or leave out the rows that end with `length`.",
        )


def _of_texts(counts: Counts, sampled: Sampled) -> Iterator[Finding]:
    if level := _level(counts.blank, counts.answered, BLANK):
        yield Finding(
            level,
            f"{_plural(counts.blank, 'response')} ({share(counts.blank, counts.answered)}) "
            f"{'is' if counts.blank == 1 else 'are'} empty.",
            "Look at their prompts; a base model without a chat template may end at once.",
        )
    if counts.answered < _FEW_ROWS:
        return
    if level := _level(counts.copies, counts.answered, COPIES):
        yield Finding(
            level,
            f"{share(counts.copies, counts.answered)} of the responses repeat another one word for word.",
            "With --samples-per-prompt above 1 raise --temperature; else look for repeated prompts.",
        )
    elif level := _level(sampled.near, sampled.rows, NEAR):
        yield Finding(
            level,
            f"{share(sampled.near, sampled.rows)} of the sampled responses resemble another one closely.",
            "Look at the largest groups below; more varied prompts or a higher --temperature help.",
        )
    if level := _level(counts.refusals, counts.answered, REFUSALS):
        yield Finding(
            level,
            f"{share(counts.refusals, counts.answered)} of the responses begin like a refusal.",
            "Search the samples for “sorry”; leave them out, or change the prompts or the system prompt.",
        )
    if sampled.openings and (level := _level(sampled.openings[0].rows, sampled.rows, OPENING)):
        yield Finding(
            level,
            f"{share(sampled.openings[0].rows, sampled.rows)} of the responses begin with the same words: "
            f"“{sampled.openings[0].text}”.",
            "A model trained on them will begin so too.",
        )


def _of_run(counts: Counts, speed: Speed, end: RunEnd) -> Iterator[Finding]:
    failed = sum(one.processes for one in speed.interruptions if one.why == "failed")
    if failed:
        yield Finding(
            "look", f"{_plural(failed, 'process', 'es')} failed on the way.", "The errors are at the end of “The run”."
        )
    if end.reason:
        yield Finding("look", f"The run ended before it was complete: {end.reason}", "Mend that, then submit it again.")
    again = (speed.generated or 0) - counts.rows
    if level := _level(again, speed.generated or 0, MADE_AGAIN):
        yield Finding(
            level,
            f"{_plural(again, 'row')} ({share(again, speed.generated or 0)} of all that was generated) got lost in "
            "interruptions and had to be made again.",
            "A smaller --checkpoint-seconds loses less each time.",
        )


def _level(part: int, whole: int, limit: _Limit, *, always: bool = False) -> Level | None:
    """How grave a share is; None if it is not worth a word. With `always`, a single case is worth a word."""
    if not whole or part <= 0:
        return None
    if part / whole >= limit.bad:
        return "bad"
    if part / whole >= limit.look:
        return "look"
    return "good" if always else None


def _plural(count: int, word: str, ending: str = "s") -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}{ending}"
