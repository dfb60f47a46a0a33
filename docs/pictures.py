"""Makes the pictures of the README anew: `PYTHONPATH=. python docs/pictures.py`.

The demo model answers the default prompts; half-way `promptmill status` is taken as SVG, and at the end the report's
first screen as PNG, by Debian's chromium. Takes about a minute.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from promptmill.run import RunFolder
from promptmill.status.reading import read_status
from promptmill.status.showing import shown

PICTURES = Path(__file__).absolute().parent / "pictures"
ROWS = 44
SIZE = {"width": 1100, "height": 1250}


def main() -> None:
    """Run, look, and look again at the end."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # so that paths are short
        run = RunFolder.named(Path("data"), "my-run")
        _status_while_it_runs(run)
        _report((run.path / "report.html").absolute())


def _status_while_it_runs(run: RunFolder) -> None:
    options = ["--name", "my-run", "--checkpoint-seconds", "1"]
    command = [sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset", "--local-scheduler", *options]
    with subprocess.Popen(command) as process:
        while process.poll() is None and _rows(run) < ROWS // 2:
            time.sleep(0.2)
        console = Console(record=True, width=80, file=open("/dev/null", "w"), highlight=False)  # noqa: SIM115, PTH123
        console.print("$ promptmill status my-run", style="bold")
        status = read_status(run)
        # A machine's own name says nothing to a reader.
        processes = tuple(replace(one, node="node1") for one in status.processes)
        console.print(shown(replace(status, processes=processes)))
        # Without the web font that rich names: a picture asks nobody for anything.
        text = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="promptmill status"), flags=re.DOTALL)
        (PICTURES / "status.svg").write_text(text, encoding="utf-8")


def _rows(run: RunFolder) -> int:
    return read_status(run).rows if run.record.exists() and run.identity.exists() else 0


def _report(page: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
        view.goto(page.as_uri())
        view.wait_for_selector("svg")
        view.screenshot(path=PICTURES / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
