"""A real browser for the tests: Debian's Chromium without a screen, driven by Playwright.

`pytest_plugins = ["browser"]` brings the fixtures `page` and `opened`. A page that wrote an error to its console, or
asked for anything that is not on this machine, fails its test.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "apt-get install -y --no-install-recommends chromium"
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",  # a container's is small
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # nothing from elsewhere is had
]
# What Gradio's own client says whenever a stream ends, when a page is left while it asks for something, and when a part
# of the page is taken away.
HARMLESS = ("Method not implemented.", "AbortError", "Connection errored out", "svelte.dev/e/derived_inert")
HERE = {"127.0.0.1", "localhost", ""}  # "" is that of data: and blob: addresses


def chromium() -> str:
    """Where Chromium is; root gets it installed where it is missing, by one process while others wait."""
    if found := _found():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with (Path(tempfile.gettempdir()) / "babe2-chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _found():
                subprocess.run(["apt-get", "update"], check=False, capture_output=True)
                subprocess.run(INSTALL.split(), check=False, capture_output=True)
    return _found() or pytest.fail(f"These tests drive a real browser, and there is none. Install it: sudo {INSTALL}")


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tells beside a failure what the page showed."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and isinstance(page, Page) and not page.is_closed():
        report.sections.append(("the page", page.locator("body").inner_text()))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    sandbox = os.geteuid() != 0  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS, chromium_sandbox=sandbox)
        yield browser
        browser.close()


@contextmanager
def _opened(browser: Browser, **visitor: Any) -> Iterator[Page]:
    """A page that may neither complain on its console nor want anything from elsewhere, which it would not get."""
    complaints: list[str] = []
    context = browser.new_context(accept_downloads=True, reduced_motion="reduce", **visitor)
    page = context.new_page()
    page.on("console", lambda line: complaints.append(line.text) if is_complaint(line) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if at_home(request.url) else complaints.append(f"asked for {request.url}"))
    yield page
    context.close()
    assert complaints == []


def is_complaint(line: ConsoleMessage) -> bool:
    return line.type in ("error", "warning") and not any(words in line.text for words in HARMLESS)


def at_home(url: str) -> bool:
    return (urlsplit(url).hostname or "") in HERE


@pytest.fixture(scope="session")
def opened(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """For tests that share a page: `with opened() as page`; `opened(locale="de-DE")` is a visitor from elsewhere."""
    return lambda **visitor: _opened(browser, **visitor)


@pytest.fixture
def page(opened: Callable[..., AbstractContextManager[Page]]) -> Iterator[Page]:
    with opened() as page:
        yield page
