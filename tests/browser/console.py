"""The console as somebody uses it who sees it: by what stands on buttons, fields and links."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

from tests.browser.stage import LOGIN, PASSWORD

PAGES = ("Live calls", "Place a call", "Devices", "History", "API keys", "Requests", "Events")


class Console:
    """The console in one page of a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def open(self) -> None:
        """Come as somebody who is not logged in."""
        await self.page.goto("/console")
        await self.sees("Ringbridge console")

    async def log_in(self, user: str = LOGIN, password: str = PASSWORD) -> None:
        """Come and log in; the live calls are there then."""
        await self.open()
        await self.enter("User", user)
        await self.enter("Password", password)
        await self.press("Log in")
        await self.is_live()

    async def use_key(self, key: str) -> None:
        """Come with an API key."""
        await self.open()
        await self.press("API key")
        await self.enter("API key", key)
        await self.press("Use this key")
        await self.is_live()

    async def is_live(self) -> None:
        """See that one is in, and that events come."""
        await self.sees("Live calls")
        await expect(self.page.get_by_text("Live", exact=True)).to_be_visible()

    async def sees(self, heading: str) -> None:
        """See the page of a heading."""
        await expect(self.page.get_by_role("heading", level=1, name=heading)).to_be_visible()

    async def go_to(self, name: str) -> None:
        """Go to a page."""
        await self.page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name=name).click()
        await self.sees(name)

    async def enter(self, field: str, value: str) -> None:
        """Fill a field; what marks it as required is no part of its name."""
        await self.page.get_by_role("main").get_by_label(re.compile(rf"^{re.escape(field)}( \*)?$")).fill(value)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def press(self, name: str) -> None:
        await self.button(name).click()

    async def place(self, to: str) -> str:
        """Place a call by the form; its own page is there then. Return its call-id."""
        await self.go_to("Place a call")
        await self.enter("Destination", to)
        await self.press("Call")
        await expect(self.page.get_by_role("heading", level=2, name="What happened")).to_be_visible()
        return self.page.url.rpartition("/")[2]

    async def is_in_state(self, state: str) -> None:
        """See a call's state at the top of its page."""
        await expect(self.page.get_by_role("status").filter(has=self.page.locator(".state"))).to_have_text(state)

    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    def rows(self) -> Locator:
        """Rows of the table, without its heading."""
        return self.page.locator("tbody tr")
