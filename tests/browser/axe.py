"""axe-core's opinion of a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = frozenset({"serious", "critical"})


async def grave_faults(page: Page, *, within: str | None = None) -> list[str]:
    """Return what is seriously or critically wrong for people who see, hear or move otherwise; one line an element.

    Args:
        page: as it is shown now; what is hidden is not looked at.
        within: a CSS selector; None is the whole page.
    """
    assert AXE.exists(), "run tools/test_packages.sh once"
    await page.evaluate(await asyncio.to_thread(AXE.read_text))
    found = await page.evaluate("within => axe.run(within ?? document, {resultTypes: ['violations']})", within)
    return [
        f"{fault['id']} ({node['impact'] or fault['impact']}): {fault['help']}: {node['target']}: {node['html'][:160]}"
        for fault in found["violations"]
        for node in fault["nodes"]
        if (node["impact"] or fault["impact"]) in GRAVE
    ]
