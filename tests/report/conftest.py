"""Fixtures: a real browser, or a skip that says what to install."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

REQUIRE = "PROMPTMILL_REQUIRE_CHROMIUM"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium of the machine, without a window; for a module, as it keeps an event loop running in this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        text = "no chromium here: install it (on Debian: apt-get install chromium)"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{text}; {REQUIRE}=1 makes that a failure")
        pytest.skip(text)
    with sync_playwright() as playwright:
        # Root, as in a container, can have no sandbox; the only page that is opened is our own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
