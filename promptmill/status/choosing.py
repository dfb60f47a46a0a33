"""Which run is meant: a folder, a name, or the latest one."""

from __future__ import annotations

from pathlib import Path

from promptmill.errors import NotFound
from promptmill.run import RunFolder


def choose_run(name: str | None, data: Path) -> RunFolder:
    """The run of that folder or name; without a name the one that was touched last.

    Raises:
        NotFound: lists the runs that there are.
    """
    if name is None:
        runs = _runs(data)
        if not runs:
            raise NotFound(
                f"There are no runs in {data}. Name the folder of a run, or the data folder with --data-dir; "
                "begin a run with `luigi --module workflows BuildDataset --local-scheduler`."
            )
        return runs[0]
    for folder in (Path(name), data / "runs" / name):
        if (folder / "run.json").is_file():
            return RunFolder(folder)
    known = ", ".join(run.path.name for run in _runs(data)[:10]) or "none"
    raise NotFound(f"There is no run {name!r}, neither as a folder nor in {data}. Runs there: {known}.")


def _runs(data: Path) -> list[RunFolder]:
    return sorted(RunFolder.all_in(data), key=_touched, reverse=True)


def _touched(run: RunFolder) -> float:
    return max(path.stat().st_mtime for path in (run.record, run.path, run.progress) if path.exists())
