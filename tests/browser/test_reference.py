"""The reference in a real browser: a newcomer tries the call and sees it happen; what is kept, found and shown."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import OpenPage
from tests.browser.stage import Stage

MAKE_CALL = "/docs/#tag/calls/POST/ns-api/v2/domains/{domain}/users/{user}/calls"
PHONE = {"width": 390, "height": 844}
SAMPLES = {
    "Python Requests": "requests.post(",
    "JavaScript Fetch": "fetch(",
    "PHP cURL": "curl_init(",
    "Go NewRequest": "http.NewRequest(",
    "C# HttpClient": "new HttpClient()",
    "Ruby net::http": "Net::HTTP",
    "Shell Curl": "curl ",
}
OF_THE_COMPONENT = {
    "aria-input-field-name": "the read-only viewer of an answer's body (CodeMirror) has no name",
    "aria-prohibited-attr": "*More Information* has a name on a button of role `none`",
    "aria-required-attr": "table cells that are edited in place are comboboxes without aria-expanded",
    "aria-valid-attr-value": "buttons to copy name an element that comes only with their tooltip",
    "button-name": "buttons to copy and menus of the form have their names in a tooltip only",
    "scrollable-region-focusable": "a long example scrolls inside its card, which no key reaches",
}
"""What Scalar 1.72.1 itself has wrong, each with its reason; our own part has no exception."""


class Reference:
    """The reference in one page of a browser, as somebody uses it who sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def token(self) -> Locator:
        return self.page.get_by_label("Bearer Token").first

    async def open(self, address: str = "/docs") -> None:
        """Come, and wait until the component is there."""
        await self.page.goto(address)
        await expect(self.token()).to_be_visible(timeout=30_000)

    async def enter_key(self, key: str) -> None:
        """Enter an API key; it is kept once what was typed has come to rest."""
        await self.token().fill(key)
        await expect_kept(self.page, key)

    async def try_call(self) -> None:
        """Send the call of the example."""
        await self.page.get_by_role("button", name="Try It!").first.click()
        await self.page.get_by_role("button", name="Send").first.click()

    def call(self) -> Locator:
        return self.page.get_by_role("region", name="The call that this request made")


async def expect_kept(page: Page, key: str) -> None:
    await page.wait_for_function("key => Object.values(sessionStorage).includes(key)", arg=key)


async def faults_of(page: Page) -> list[str]:
    """Return grave faults but those of the component that are known."""
    return [fault for fault in await grave_faults(page) if fault.partition(" ")[0] not in OF_THE_COMPONENT]


async def test_a_newcomer_enters_the_key_tries_the_call_sees_its_ladder_and_ends_it(page: Page, stage: Stage) -> None:
    reference = Reference(page)
    await reference.open()
    await reference.enter_key(stage.key)
    await reference.open(MAKE_CALL)
    await reference.try_call()
    call = reference.call()
    await expect(call.get_by_role("status")).to_have_text("Connected", timeout=20_000)
    ladder = call.get_by_role("img", name=re.compile("^Sequence of"))
    for step in ("POST a call", "INVITE", "180", "200 OK", "audio"):
        await expect(ladder.get_by_text(step).first).to_be_visible()
    await expect(page.get_by_text("202 Accepted").first).to_be_visible()
    await expect(page.get_by_text("Response Headers").first).to_be_visible()
    await expect(page.get_by_text(re.compile(r"^\s*\d+\s?ms\s*$")).first).to_be_visible()
    assert await grave_faults(page, within=".live-call") == []
    assert await faults_of(page) == []
    first = await call.locator("code").first.inner_text()
    await call.get_by_role("button", name="End the call").click()
    await expect(call.get_by_role("status")).to_have_text("Ended")
    # The same again is a new call: its name was made by the page, and is used once.
    await page.get_by_role("button", name="Send").first.click()
    await expect(call.locator("code").first).not_to_have_text(first)
    await expect(call.get_by_role("status")).to_have_text("Connected", timeout=20_000)
    await call.get_by_role("button", name="End the call").click()
    await expect(call.get_by_role("status")).to_have_text("Ended")


async def test_a_credential_is_kept_for_the_tab_alone(page: Page, stage: Stage) -> None:
    reference = Reference(page)
    await reference.open()
    await reference.enter_key(stage.key)
    await page.reload()
    await expect(reference.token()).to_have_value(stage.key)
    assert stage.key not in await page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
    other = await page.context.new_page()
    elsewhere = Reference(other)
    await elsewhere.open()
    await expect(elsewhere.token()).to_have_value("")


async def test_every_operation_is_listed(page: Page, stage: Stage) -> None:
    async with stage.client("") as client:
        document = (await client.get("/openapi.json")).json()
    await Reference(page).open()
    sidebar = page.get_by_role("complementary", name="Sidebar for Ringbridge")
    for tag in document["tags"]:
        closed = sidebar.get_by_role("button", name=f"Open Group - {tag['name']}", exact=True)
        if await closed.count():
            await closed.click()
    operations = [one for path in document["paths"].values() for one in path.values() if "operationId" in one]
    await expect(sidebar.locator(".sidebar-heading-type")).to_have_count(len(operations))


async def test_a_sample_is_there_in_each_language(page: Page) -> None:
    await Reference(page).open(MAKE_CALL)
    chosen = "Shell Curl"
    for name, words in SAMPLES.items():
        await page.get_by_role("button", name=chosen).first.click()
        await page.get_by_role("option", name=name.partition(" ")[2], exact=True).first.click()
        await expect(page.get_by_role("button", name=name).first).to_be_visible()
        await expect(page.locator("pre").filter(has_text=words).first).to_be_visible()
        chosen = name


async def test_an_operation_is_found_by_keyboard(page: Page) -> None:
    await Reference(page).open()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("hold a call")
    await expect(page.get_by_role("dialog").get_by_text("Hold a call").first).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("hold"))


@pytest.mark.parametrize(("scheme", "viewport"), [("light", None), ("dark", None), ("light", PHONE)])
async def test_the_page_has_no_grave_fault_and_fits(
    open_page: OpenPage, scheme: str, viewport: dict[str, int] | None
) -> None:
    page = await open_page(color_scheme=scheme, **({"viewport": viewport} if viewport else {}))
    await Reference(page).open(MAKE_CALL)
    await expect(page.get_by_role("heading", name="Make a call").first).to_be_visible()
    assert await faults_of(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("body").get_attribute("class") == f"{scheme}-mode"


async def test_the_page_leads_to_the_document_and_the_console(page: Page) -> None:
    await Reference(page).open()
    for name, path in (("openapi.json", "/openapi.json"), ("openapi.yaml", "/openapi.yaml"), ("console", "/console/")):
        link = page.get_by_role("main").get_by_role("link", name=name, exact=True).first
        assert await link.evaluate("one => new URL(one.href).pathname") == path
