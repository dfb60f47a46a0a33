"""Steps of a run as users of a machine: `python -m tests.security.as_user UID:GID:UMASK:STEP:DATA ...`.

All is imported once, before the user changes, as an installation may be readable for its owner alone. Each step
is a process of its own; what it ended with is a line on standard output.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import altair  # noqa: F401 - the report needs it
import datasets  # noqa: F401 - and the card this
import vl_convert  # noqa: F401

from promptmill.assemble import assemble
from promptmill.files import atomic_folder, set_aside
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.history import ShardHistory
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.sharing import share_with_group
from tests.fakes import StubEngine, begun_run

PROMPTS = 40
SAMPLES = 2


def begin(data: Path) -> None:
    """A run of which some rows are committed, and weights that are kept."""
    data.mkdir(exist_ok=True)
    source = data / "prompts.txt"
    source.write_text("".join(f"prompt {index}\n" for index in range(PROMPTS)))
    run = begun_run(data, source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=SAMPLES)
    _fill(run, rows=30)
    with atomic_folder(data / "models" / "kept") as temporary:
        (temporary / "sub").mkdir()
        for name in ("config.json", "sub/model.safetensors"):
            (temporary / name).touch(mode=0o600)


def share(data: Path) -> None:
    """What --group-shared does."""
    share_with_group(data)


def go_on(data: Path) -> None:
    """The rest of the rows, after a chunk turned out damaged, and the dataset."""
    run = RunFolder.named(data, "stub")
    set_aside(next(run.shards.glob("*/chunk-*.parquet")))
    _fill(run, rows=None)
    if assemble(run):
        raise SystemExit("a shard is damaged")


def _fill(run: RunFolder, rows: int | None) -> None:
    manifest, engine = recorded_manifest(run), StubEngine()
    for shard, (start, stop) in enumerate(manifest.shards):
        store = shard_store(run, manifest, shard)
        form = PromptForm(chat=False, system_prompt=None, samples=SAMPLES, run_seed=0)
        missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, start, stop)))
        with ShardHistory(run.progress / "host-1.jsonl", shard, len(missing)) as history:

            def on_row(row: Row, history: ShardHistory = history) -> None:
                history.add(row)

            fill_shard(
                store,
                missing,
                engine,
                checkpoint_seconds=0,
                should_stop=lambda: rows is not None and len(engine.generated) >= rows,
                on_row=on_row,
            )


def main(steps: list[str]) -> None:
    """Each step in a child that becomes the user."""
    for given in steps:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            uid, gid, umask, step, data = given.split(":")
            if os.geteuid() == 0:
                os.setgroups([int(gid)])
                os.setgid(int(gid))
                os.setuid(int(uid))
            os.umask(int(umask, 8))
            try:
                {"begin": begin, "share": share, "go-on": go_on}[step](Path(data))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
