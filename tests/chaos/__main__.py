"""`make chaos`: the harnesses at length, with the demo model; writes docs/reliability.md.

    python -m tests.chaos [--kills 200] [--soak-minutes 60] [--only crash kills memory soak]

What is named is run, and the page has the rest as it was. It takes two hours or so; what is wrong is printed, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from promptmill.demo import ensure_demo_model
from tests.chaos import memory
from tests.chaos.crash_points import crash_everywhere, record
from tests.chaos.disk import Cuts
from tests.chaos.kills import kill_again_and_again, write_prompts
from tests.chaos.results import Result
from tests.chaos.small_run import SmallRun
from tests.chaos.soak import growth, result, soak, table
from tests.engine.tiny import BOS, EOS, byte_tokenizer

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
RECORD = Path(__file__).with_name("reliability.json")
MOST_GROWTH = 0.05
"""Of memory, over a soak."""
Found = tuple[list[Result], list[str], str]
"""Lines of the table, what is wrong, and a table of its own."""


def main() -> None:
    """Run what was asked for, write the page, and end with 1 if anything is wrong."""
    options = _options()
    wrong: list[str] = []
    for name in options.only:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            results, mistakes, more = HARNESSES[name](Path(folder), options)
        wrong += [f"{name}: {mistake}" for mistake in mistakes]
        # Read again each time: another harness may have been run beside this one.
        record_of = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        record_of[name] = {
            "results": [asdict(one) for one in results],
            "more": more,
            "minutes": round((time.monotonic() - begun) / 60, 1),
            "day": time.strftime("%Y-%m-%d"),
            "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}",
        }
        RECORD.write_text(json.dumps(record_of, indent=1) + "\n")
        PAGE.write_text(_page(record_of))
    sys.stdout.write("".join(f"WRONG {line}\n" for line in wrong) or f"Nothing was lost. See {PAGE}\n")
    sys.exit(bool(wrong))


def _crash_points(folder: Path, options: argparse.Namespace) -> Found:
    small = SmallRun(folder / "small", _tiny_model(folder / "tiny"))
    found = crash_everywhere(small, record(small), Cuts(every_byte=True))
    note = f"{found.states} states; those that differ only in a file that a restart does not read share a restart"
    line = Result(
        "power cut at every call, every byte", found.states, found.restarts, found.rows, found.lost, found.doubled,
        found.again, note,
    )  # fmt: skip
    return [line], found.wrong, ""


def _kills(folder: Path, options: argparse.Namespace) -> Found:
    rows = 12 * options.kills
    for data in ("data", "calm"):
        _demo_model(folder / data)
    write_prompts(folder / "prompts.jsonl", rows)
    given = ["--model", "demo", "--prompts", folder / "prompts.jsonl", "--max-new-tokens", 24]
    given += ["--checkpoint-seconds", 0.5, "--batch-size", 4]
    line, wrong = kill_again_and_again(
        folder, given, rows=rows, kills=options.kills, name="kills of real processes, demo model", workers=(1, 1, 2)
    )
    return [line], wrong, ""


def _memory(folder: Path, options: argparse.Namespace) -> Found:
    return memory.run(long=True), [], ""


def _soak(folder: Path, options: argparse.Namespace) -> Found:
    _demo_model(folder / "data")
    write_prompts(folder / "prompts.jsonl", 500 * options.soak_minutes)
    given = ["--model", "demo", "--prompts", folder / "prompts.jsonl", "--max-new-tokens", 48]
    lives, seen = soak(folder, [*given, "--checkpoint-seconds", 5], 60 * options.soak_minutes)
    wrong = [f"memory grew by {growth(lives):.1%}"] if growth(lives) > MOST_GROWTH else []
    return [result(lives, seen, folder / "data")], wrong, table(lives)


HARNESSES: dict[str, Callable[[Path, argparse.Namespace], Found]] = {
    "crash": _crash_points,
    "kills": _kills,
    "memory": _memory,
    "soak": _soak,
}


def _page(record_of: dict[str, Any]) -> str:
    lines = [
        "# What was broken on purpose",
        "",
        "Written by `make chaos`. Lost are rows that were committed and are gone, or are not in the dataset; doubled",
        "are rows that are in it twice, or were made again though they were committed. Made again are those that had",
        "not been committed yet when the fault came, which is its price; of a killed process as far as it had told in",
        "its progress file, which is written now and then: at least so many. Short versions are in `make test`, and so",
        "are faults that need no length: full disks, damaged files, memory that runs out, bad input, clocks.",
        "",
        "| what | faults | restarts | rows | lost | doubled | made again | minutes | when, where |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name in HARNESSES:
        if name not in record_of:
            lines.append(f"| {name} | not run yet | | | | | | | |")
            continue
        found = record_of[name]
        for one in found["results"]:
            lines.append(
                f"| {one['name']} | {one['faults']} | {one['restarts']} | {one['rows']} | {one['lost']} "
                f"| {one['doubled']} | {one['again']} | {found['minutes']} | {found['day']}, {found['machine']} |"
            )
            notes += [f"- {one['name']}: {one['note']}."] if one["note"] else []
        notes += [f"\n{found['more']}\n"] if found["more"] else []
    return "\n".join([*lines, "", *notes]).rstrip("\n") + "\n"


def _tiny_model(folder: Path) -> Path:
    """A model whose files are pinned and which is never loaded."""
    config = GPT2Config(
        vocab_size=260, n_embd=32, n_layer=1, n_head=4, n_positions=128, bos_token_id=BOS, eos_token_id=EOS
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def _demo_model(data: Path) -> None:
    """The converted demo model, as files of the same disk."""
    kept = ensure_demo_model(ROOT / ".pytest_cache" / "d" / "models")
    shutil.copytree(kept.parent, data / "models", copy_function=os.link)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--soak-minutes", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=list(HARNESSES), default=list(HARNESSES))
    parser.add_argument("--work", help="folder for what is made; `crash` is fast in memory, as in /dev/shm")
    return parser.parse_args()


if __name__ == "__main__":
    main()
