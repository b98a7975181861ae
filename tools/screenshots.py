"""Makes the pictures of the README from a running demo, in Debian's Chromium: `tools/screenshots.py [name …]`.

Each picture is a function that brings a page to what is to be seen; it is taken in light and in dark. Needs what the
browser tests need (`tools/test_tools.sh`).
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import ARGUMENTS, CHROMIUM  # noqa: E402 - found once the path is set
from tests.browser.console import Console  # noqa: E402
from tests.browser.stage import Stage, staged  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1180, "height": 1060}


async def console_call(page: Page, _: Stage) -> None:
    """Show a call that is up, with its ladder."""
    console = Console(page)
    await console.log_in()
    await console.place("1002")
    await console.is_in_state("Connected")
    await asyncio.sleep(2)  # so that it has lasted a moment
    await page.evaluate("document.activeElement.blur()")


PICTURES: dict[str, Callable[[Page, Stage], Awaitable[None]]] = {
    "console-call": console_call,
}


async def take(name: str, stage: Stage, browser: Browser) -> None:
    """Take one picture in both colour schemes; calls that it left up are ended."""
    for scheme in ("light", "dark"):
        context = await browser.new_context(
            base_url=stage.url,
            viewport=SIZE,
            color_scheme=scheme,
            device_scale_factor=1.5,
            locale="en-GB",
        )
        page = await context.new_page()
        await PICTURES[name](page, stage)
        await page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
        await context.close()
        print(f"{name}-{scheme}.png")
        async with stage.client(stage.admin_key) as admin:
            calls = "/ns-api/v2/domains/demo/calls"
            for call in (await admin.get(calls)).json():
                await admin.delete(f"/ns-api/v2/domains/demo/users/{call['call-by-user']}/calls/{call['call-id']}")


async def main(names: list[str]) -> int:
    """Take the pictures of those names, or all; return the exit status."""
    if unknown := set(names) - set(PICTURES):
        print(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="rb-"))
    try:
        async with staged(data) as stage, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            for name in names or PICTURES:
                await take(name, stage, browser)
            await browser.close()
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
