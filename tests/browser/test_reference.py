"""The reference in a real browser: a newcomer tries the call and sees it happen; what is kept, found and shown."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import OpenPage
from tests.browser.stage import Stage

MAKE_CALL = "/docs/#tag/calls/POST/ns-api/v2/domains/{domain}/users/{user}/calls"
LIST_CALLS = "/docs/#tag/calls/GET/ns-api/v2/domains/{domain}/users/{user}/calls"
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

    def operation(self, name: str) -> Locator:
        return self.page.get_by_role("main").get_by_role("region", name=name, exact=True)

    def requests(self, operation: str = "List a user's active calls") -> Locator:
        """What was asked of an operation that is on the page."""
        return self.operation(operation).get_by_role("region", name="Your requests")

    def tried(self) -> Locator:
        """What was asked of the operation that was tried, below the answer of the form."""
        return self.page.get_by_label("API Client").get_by_role("region", name="Your requests")


async def expect_kept(page: Page, key: str) -> None:
    await page.wait_for_function("key => Object.values(sessionStorage).includes(key)", arg=key)


async def fresh_key(stage: Stage, user: str = "1001") -> str:
    """Return a key of a user that nothing was asked with yet."""
    async with stage.client(stage.admin_key) as admin:
        order = {"description": "for the reference", "domain": "demo", "user": user}
        made = await admin.post("/ns-api/v2/apikeys", json=order)
        assert made.status_code == 200, made.text
        return str(made.json()["key"])


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
    first = await call.locator("code").first.inner_text()
    await call.get_by_role("button", name="End the call").click()
    await expect(call.get_by_role("status")).to_have_text("Ended")
    assert await grave_faults(page) == []
    # The same again is a new call: its name was made by the page, and is used once.
    await page.get_by_role("button", name="Send").first.click()
    await expect(call.locator("code").first).not_to_have_text(first, timeout=20_000)
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
    assert await grave_faults(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("body").get_attribute("class") == f"{scheme}-mode"


async def test_the_page_leads_to_the_document_and_the_console(page: Page) -> None:
    await Reference(page).open()
    for name, path in (("openapi.json", "/openapi.json"), ("openapi.yaml", "/openapi.yaml"), ("console", "/console/")):
        link = page.get_by_role("main").get_by_role("link", name=name, exact=True).first
        assert await link.evaluate("one => new URL(one.href).pathname") == path


async def test_what_was_asked_with_the_credential_is_on_the_page_and_is_sent_again(page: Page, stage: Stage) -> None:
    key = await fresh_key(stage)
    reference = Reference(page)
    await reference.open(MAKE_CALL)
    await expect(reference.requests("Make a call")).to_contain_text("Enter a credential")
    await reference.open()
    await reference.enter_key(key)
    await reference.open(MAKE_CALL)
    await expect(reference.requests("Make a call")).to_contain_text("None yet.", timeout=20_000)
    await reference.try_call()
    await expect(reference.call().get_by_role("status")).to_have_text("Connected", timeout=20_000)
    row = reference.tried().locator("tbody tr")
    await expect(row).to_have_count(1, timeout=20_000)
    for text in ("202", "ms", "Chrome"):
        await expect(row).to_contain_text(text)
    first = await reference.call().locator("code").first.inner_text()
    await reference.call().get_by_role("button", name="End the call").click()
    await expect(reference.call().get_by_role("status")).to_have_text("Ended")
    await row.get_by_role("button", name="Open").click()
    opened = reference.tried()
    await expect(opened.get_by_role("heading", name="POST /ns-api/v2/domains/demo/users/1001/calls")).to_be_visible()
    for text in (f'"call-id": "{first}"', '"message": "Accepted"', "1001@demo", key[:16]):
        await expect(opened.get_by_text(text).first).to_be_visible()
    assert key not in await opened.inner_text()
    assert await grave_faults(page, within=".scalar-client .history") == []
    await opened.get_by_role("button", name="Send again as a new call").click()
    await expect(opened).to_contain_text("A new call is placed.", timeout=20_000)
    await expect(reference.call().locator("code").first).not_to_have_text(first)
    await expect(reference.call().get_by_role("status")).to_have_text("Connected", timeout=20_000)
    await reference.call().get_by_role("button", name="End the call").click()
    await opened.get_by_role("button", name="Back to the list").click()
    await expect(row).to_have_count(1, timeout=20_000)
    # One that is refused is there at once too, and newest first; on the page behind the form as well.
    await page.get_by_label("API Client").get_by_label("Bearer Token").press("Escape")
    async with stage.client(key) as program:
        refused = await program.post("/ns-api/v2/domains/~/users/~/calls", json={}, headers={"user-agent": "crm/3.1"})
        assert refused.status_code == 400
    await page.reload()
    rows = reference.requests("Make a call").locator("tbody tr")
    await expect(rows).to_have_count(2, timeout=30_000)
    await expect(rows.first).to_contain_text("crm/3.1")
    await expect(rows.first).to_contain_text("400")


async def test_nobody_sees_the_requests_of_another_credential(page: Page, stage: Stage) -> None:
    reference = Reference(page)
    async with stage.client() as mine:
        assert (await mine.get("/ns-api/v2/domains/~/users/~/calls")).status_code == 200
    await reference.open()
    await reference.enter_key(stage.other_key)
    await reference.open(LIST_CALLS)
    await expect(reference.requests()).to_contain_text("None yet.", timeout=20_000)
    await reference.open()
    await reference.enter_key("nsu_nonsense")
    await reference.open(LIST_CALLS)
    await expect(reference.requests()).to_contain_text("The credential is not taken", timeout=20_000)


async def test_the_requests_are_loading_until_they_are_there(page: Page, stage: Stage) -> None:
    gate = asyncio.Event()

    async def hold(route: Route) -> None:
        await gate.wait()
        await route.continue_()

    await page.route("**/ringbridge/v1/requests?*", hold)
    reference = Reference(page)
    await reference.open()
    await reference.enter_key(await fresh_key(stage))
    await reference.open(LIST_CALLS)
    await expect(reference.requests().get_by_role("status")).to_have_text("Loading…", timeout=20_000)
    gate.set()
    await expect(reference.requests()).to_contain_text("None yet.", timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_form_on_a_phone_has_no_fault_and_nothing_lies_on_the_address(
    open_page: OpenPage, stage: Stage, scheme: str
) -> None:
    page = await open_page(color_scheme=scheme, viewport=PHONE)
    reference = Reference(page)
    await reference.open()
    await reference.enter_key(stage.key)
    await reference.open(LIST_CALLS)
    await reference.operation("List a user's active calls").get_by_role("button", name="Try It!").click()
    form = page.get_by_label("API Client")
    toggle = await form.locator(".scalar-sidebar-toggle").bounding_box()
    address = await form.get_by_role("button", name="Server:").bounding_box()
    assert toggle is not None
    assert address is not None
    assert toggle["x"] + toggle["width"] <= address["x"]
    await form.get_by_role("button", name="Send").first.click()
    await form.locator("ringbridge-history").scroll_into_view_if_needed()
    await expect(reference.tried().locator("tbody tr").first).to_be_visible(timeout=20_000)
    assert await grave_faults(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
