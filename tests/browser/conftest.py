"""What browser tests may ask for: a running demo, and pages of Debian's Chromium that are watched.

All of them share one event loop, one demo and one browser, since each takes seconds to start. Each test has a context
of its own, with nothing in its storage.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.stage import Stage, staged
from tests.browser.watch import Watch

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_MS = 10_000

OpenPage = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of this folder share the loop that the browser lives in."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    """Run a demo; it is the same for all tests, so what a test changes it changes for all."""
    data = Path(tempfile.mkdtemp(prefix="rb-"))
    try:
        async with staged(data) as running:
            yield running
    finally:
        shutil.rmtree(data)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Run Debian's Chromium with a profile of its own, without a display, that reaches 127.0.0.1 alone."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def watches() -> list[Watch]:
    """Give what the pages of this test did; a test that takes faults out of them expected those."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(stage: Stage, chromium: Browser, watches: list[Watch]) -> AsyncIterator[OpenPage]:
    """Open a page with nothing remembered; keywords are those of Playwright's `new_context`.

    Fails the test at its end if a page asked another host for anything, or left an error in its console.
    """
    async with AsyncExitStack() as stack:

        async def new_page(**options: Any) -> Page:
            context = await chromium.new_context(base_url=stage.url, **options)
            stack.push_async_callback(context.close)
            context.set_default_timeout(WAIT_MS)
            watches.append(Watch(context, stage.url))
            return await context.new_page()

        yield new_page
    for watch in watches:
        assert watch.foreign == [], "asked another host"
        assert watch.complaints == [], "errors in the browser's console"


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: OpenPage) -> Page:
    """Give a page of a desktop browser."""
    return await open_page()
