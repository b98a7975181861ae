"""The console in a real browser: a newcomer's way through it, what others see of it, and what it survives."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pyotp
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.axe import grave_faults
from tests.browser.conftest import OpenPage
from tests.browser.console import PAGES, Console
from tests.browser.stage import LOGIN, PASSWORD, Stage
from tests.browser.watch import Watch

CALLS = "/ns-api/v2/domains/demo/users/1001/calls"
FIRST_PAGE_BYTES = 500_000


@asynccontextmanager
async def a_call(stage: Stage, name: str) -> AsyncIterator[str]:
    """Place a call by the API for the length of a block, between the demo's phones."""
    async with stage.client() as client:
        body = {"call-id": name, "call-term-user": "1002"}
        assert (await client.post(CALLS, json=body)).status_code == 202
        yield name
        assert (await client.delete(f"{CALLS}/{name}")).status_code == 202


async def answers(client: httpx.AsyncClient, path: str, status: int, *, state: str = "") -> None:
    """Return once a GET answers with a status, and shows a call in a state where one is named."""
    async with asyncio.timeout(10):
        while True:
            answer = await client.get(path)
            if answer.status_code == status and (not state or answer.json()["call-state"] == state):
                return
            await asyncio.sleep(0.05)


async def test_a_newcomer_places_a_call_sees_it_live_opens_its_ladder_and_ends_it(
    open_page: OpenPage, stage: Stage
) -> None:
    watching, placing = Console(await open_page()), Console(await open_page())
    await watching.log_in()
    await expect(watching.page.get_by_text("No calls right now.")).to_be_visible()
    await placing.log_in()
    call_id = await placing.place("1002")
    row = watching.rows().filter(has_text="1002")
    await expect(row.get_by_text("Connected")).to_be_visible()
    await row.get_by_role("link", name="Open").click()
    for console in (watching, placing):
        await console.is_in_state("Connected")
        ladder = console.page.get_by_role("img", name=re.compile("^Sequence of"))
        for words in ("POST a call", "INVITE", "180", "200 OK", "ACK", "audio"):
            await expect(ladder.get_by_text(words).first).to_be_visible()
    await watching.press("Hold")
    for console in (watching, placing):
        await console.is_in_state("On hold")
    await placing.press("Unhold")
    await watching.is_in_state("Connected")
    await watching.press("End")
    for console in (watching, placing):
        await console.is_in_state("Ended")
        await expect(console.page.locator("dd").get_by_text("completed (deleted)")).to_be_visible()
    await watching.page.get_by_text("The steps as a table").click()
    await expect(watching.page.get_by_role("cell", name="by system: completed (deleted)")).to_be_visible()
    async with stage.client() as client:
        assert (await client.get(f"{CALLS}/{call_id}")).json()["call-state"] == "ended"


async def test_another_tenant_sees_none_of_it(open_page: OpenPage, stage: Stage) -> None:
    theirs, ours = Console(await open_page()), Console(await open_page())
    await theirs.use_key(stage.other_key)
    await ours.log_in()
    async with a_call(stage, "seen-by-its-own-alone") as name:
        await expect(ours.rows().filter(has_text="1002")).to_be_visible()
        await expect(theirs.page.get_by_text("No calls right now.")).to_be_visible()
        await theirs.page.goto(f"/console/#/call/demo/1001/{name}")
        await expect(theirs.alert()).to_contain_text("no domain demo")
        for page in PAGES[1:]:
            if page == "Requests":
                continue  # their own attempt to open the call is there, and is theirs
            await theirs.go_to(page)
            await expect(theirs.page.get_by_text("Loading…")).to_have_count(0)
            await expect(theirs.page.get_by_role("main")).not_to_contain_text(re.compile(r"1001|1002|Ada|Bob"))
    await theirs.go_to("Live calls")
    await expect(theirs.rows()).to_have_count(0)


async def test_a_call_that_is_over_is_in_the_history_and_its_csv(page: Page, stage: Stage) -> None:
    console = Console(page)
    async with a_call(stage, "one-for-the-history"):
        await asyncio.sleep(0)
    async with stage.client() as client:
        await answers(client, f"{CALLS}/one-for-the-history/cdr", 200)
    await console.log_in()
    await console.go_to("History")
    await expect(console.rows().first.get_by_text("Internal")).to_be_visible()
    shown = await console.rows().count()
    async with page.expect_download() as download:
        await console.press("Download CSV")
    text = await asyncio.to_thread((await (await download.value).path()).read_text)
    names = [row["call-id"] for row in csv.DictReader(io.StringIO(text))]
    assert "one-for-the-history" in names
    assert len(names) == shown
    await console.enter("Caller", "1002")
    await console.press("Search")
    await expect(page.get_by_text("No calls in this time.")).to_be_visible()
    await console.enter("Caller", "1001")
    await console.press("Search")
    await console.rows().first.get_by_role("link", name="Open").click()
    await console.is_in_state("Ended")


async def test_a_recording_is_listened_to_on_the_page_of_its_call(page: Page, stage: Stage) -> None:
    device = "/ns-api/v2/domains/demo/users/1001/devices/1001"
    console = Console(page)
    await console.log_in()
    async with stage.client(stage.admin_key) as admin:
        recorded = await admin.put(device, json={"device-level-call-recording-enabled": "yes"})
        assert recorded.status_code == 202
        try:
            await console.place("1002")
            await console.is_in_state("Connected")
            await asyncio.sleep(1.5)
            await console.press("End")
            await console.is_in_state("Ended")
        finally:
            await admin.put(device, json={"device-level-call-recording-enabled": "no"})
    player = page.get_by_label("Recording of the call")
    await expect(player).to_be_visible(timeout=60_000)
    heard = "new Promise(done => player.ontimeupdate = () => player.currentTime > 0.3 && done(player.currentTime))"
    assert await player.evaluate(f"player => (player.play(), {heard})") > 0.3
    assert await player.evaluate("player => player.duration") > 1
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    assert (await (await download.value).path()).stat().st_size > 32_000


async def test_a_request_is_found_opened_and_sent_again_as_a_new_call(open_page: OpenPage, stage: Stage) -> None:
    async with stage.client() as client:
        agent = {"user-agent": "crm/3.1"}
        body = {"call-id": "asked-by-a-crm", "call-term-user": "1002"}
        assert (await client.post(CALLS, json=body, headers=agent)).status_code == 202
        assert (await client.delete(f"{CALLS}/asked-by-a-crm", headers=agent)).status_code == 202
    console, other = Console(await open_page()), Console(await open_page())
    page = console.page
    await console.log_in()
    await console.go_to("Requests")
    row = console.rows().filter(has_text="crm/3.1").filter(has_text=f"POST {CALLS}")
    for text in ("202", "ms", "127.0.0.1", f"{stage.key[:16]}…"):
        await expect(row.get_by_text(text).first).to_be_visible()
    await page.get_by_label("Method").select_option("POST")
    await console.enter("Path holds", "/users/1001/calls")
    await console.enter("Key", stage.key[:16])
    await console.press("Search")
    await expect(console.rows().filter(has_text="DELETE")).to_have_count(0)
    await row.first.get_by_role("link", name="Open").click()
    await console.sees(f"POST {CALLS}")
    main = page.get_by_role("main")
    for text in ("crm/3.1", '"call-id": "asked-by-a-crm"', '"code": 202', "1001@demo"):
        await expect(main.get_by_text(text).first).to_be_visible()
    assert stage.key[16:] not in await page.content()
    address = page.url
    await console.press("Send again as a new call")
    await page.get_by_role("link", name="Open the call").click()
    await console.is_in_state("Connected")
    assert not page.url.endswith("/asked-by-a-crm")
    await console.press("End")
    await console.is_in_state("Ended")
    await console.go_to("Requests")
    await expect(page.get_by_label("Path holds")).to_have_value("/users/1001/calls")
    await console.enter("Path holds", "no-such-path")
    await console.press("Search")
    await expect(page.get_by_text("No requests like these.")).to_be_visible()
    await console.press("Show all requests")
    await expect(console.rows().filter(has_text="/resend").first).to_be_visible()
    await other.use_key(stage.admin_key)
    await other.go_to("Requests")
    await expect(other.rows().filter(has_text="everything").first).to_be_visible()
    await other.page.get_by_label("Domain").select_option("demo")
    await expect(other.rows().filter(has_text="crm/3.1").first).to_be_visible()
    await expect(other.rows().filter(has_text="everything")).to_have_count(0)
    await other.press("Log out")
    await other.use_key(stage.other_key)
    await other.go_to("Requests")
    await expect(other.rows().first).to_be_visible()
    await expect(other.page.get_by_role("main")).not_to_contain_text("crm/3.1")
    await other.page.goto(address)
    await expect(other.alert()).to_contain_text("no request")


async def test_requests_are_paged_and_one_is_read_on_a_phone_too(open_page: OpenPage, stage: Stage) -> None:
    async with stage.client() as client:
        for number in range(60):
            assert (await client.get(f"{CALLS}/none-{number}")).status_code == 404
    for width in (1280, 390):
        console = Console(await open_page(viewport={"width": width, "height": 900}))
        page = console.page
        await console.log_in()
        await console.go_to("Requests")
        await console.enter("Path holds", "/none-")
        await page.get_by_label("Status").select_option("4xx")
        await console.press("Search")
        await expect(console.rows()).to_have_count(50)
        await expect(page.get_by_text("60 requests")).to_be_visible()
        await console.press("Next")
        await expect(console.rows()).to_have_count(10)
        await expect(console.rows().last).to_contain_text("/none-0")
        await console.rows().last.get_by_role("link", name="Open").click()
        await console.sees(f"GET {CALLS}/none-0")
        await expect(console.button("Send again as a new call")).to_have_count(0)
        assert await grave_faults(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("main").get_by_role("link", name="Requests").click()
        await expect(console.rows()).to_have_count(10)


async def test_who_asked_for_nothing_yet_is_told_what_to_do(page: Page, stage: Stage) -> None:
    console = Console(page)
    async with stage.client(stage.admin_key) as admin:
        body = {"user": "1006", "name-first-name": "Ivo", "name-last-name": "Mark", "synchronous": "yes"}
        body |= {"user-scope": "Basic User", "email-address": "ivo@example.com", "user-login-password": PASSWORD}
        assert (await admin.post("/ns-api/v2/domains/demo/users", json=body)).status_code == 200
        await page.goto("/console#/requests")
        await console.enter("User", "1006@demo")
        await console.enter("Password", PASSWORD)
        await console.press("Log in")
        await expect(page.get_by_text("No requests yet.")).to_be_visible()
        assert (await admin.delete("/ns-api/v2/domains/demo/users/1006")).status_code == 202


async def test_a_user_s_own_history_says_who_the_other_was(open_page: OpenPage, stage: Stage) -> None:
    async with a_call(stage, "between-two-users"), stage.client() as client:
        await answers(client, f"{CALLS}/between-two-users", 200, state="connected")
    async with stage.client() as client:
        await answers(client, f"{CALLS}/between-two-users/cdr", 200)
    console = Console(await open_page())
    await console.use_key(stage.key)
    await console.go_to("History")
    cells = console.rows().first.get_by_role("cell")
    await expect(cells.nth(1)).to_have_text("Outgoing")
    await expect(cells.nth(2)).to_have_text("you")
    await expect(cells.nth(3)).to_contain_text("1002")


async def test_a_super_user_sees_every_domain_and_chooses_one(page: Page, stage: Stage) -> None:
    console = Console(page)
    await console.use_key(stage.admin_key)
    await console.go_to("Devices")
    await expect(page.get_by_text("Which domain?")).to_be_visible()
    await page.get_by_label("Domain").select_option("demo")
    await expect(console.rows().filter(has=page.get_by_role("cell", name="1002", exact=True))).to_be_visible()
    async with a_call(stage, "seen-from-above"):
        await console.go_to("Live calls")
        await expect(console.rows().filter(has_text="demo")).to_be_visible()
        await page.get_by_label("Domain").select_option("other.example")
        await expect(page.get_by_text("No calls right now.")).to_be_visible()


async def test_what_the_api_refuses_is_said_word_by_word(page: Page, stage: Stage) -> None:
    console = Console(page)
    await console.open()
    await console.enter("User", LOGIN)
    await console.enter("Password", "not it")
    await console.press("Log in")
    login = {"grant_type": "password", "client_id": "ringbridge", "username": LOGIN, "password": "not it"}
    async with stage.client("") as client:
        said = (await client.post("/ns-api/v2/tokens", json=login)).json()["message"]
    await expect(console.alert()).to_contain_text(said)
    await console.log_in()
    await console.go_to("Place a call")
    await console.enter("Destination", "424242")
    await console.press("Call")
    async with stage.client() as client:
        answer = await client.post(CALLS, json={"call-id": "nowhere", "call-term-user": "424242"})
    await expect(console.alert()).to_contain_text(answer.json()["message"])
    await console.place("1002")
    await console.is_in_state("Connected")
    await console.press("Transfer…")
    await console.enter("Transfer to", "424242")
    await console.press("Transfer")
    await expect(console.alert()).to_contain_text("no dial rule, user or number of this domain leads there")
    await console.press("End")
    await console.is_in_state("Ended")


async def test_a_call_is_explained_and_nobody_is_dialled(page: Page, stage: Stage) -> None:
    console = Console(page)
    await console.log_in()
    await console.go_to("Place a call")
    await console.enter("Destination", "1002")
    await console.press("Only explain")
    await expect(page.get_by_text("This would ring. Nothing has been dialled.")).to_be_visible()
    await expect(page.get_by_text("+12025550101").first).to_be_visible()
    await console.enter("Destination", "424242")
    await console.press("Only explain")
    await expect(page.get_by_text("This would ring nobody:")).to_be_visible()
    async with stage.client() as client:
        assert (await client.get(f"{CALLS}/count")).json() == {"total": 0}


async def test_devices_say_whether_they_are_registered(page: Page, stage: Stage) -> None:
    console = Console(page)
    async with stage.client(stage.admin_key) as admin:
        made = await admin.post("/ns-api/v2/domains/demo/users/1002/devices", json={"device": "1002_desk"})
        assert made.status_code in (200, 202), made.text
    await console.log_in()
    await console.go_to("Devices")
    phone = console.rows().filter(has=page.get_by_role("cell", name="1002", exact=True))
    await expect(phone.get_by_text("Registered", exact=True)).to_be_visible()
    await expect(console.rows().filter(has_text="1002_desk").get_by_text("Not registered")).to_be_visible()


async def test_a_key_is_shown_once_works_and_is_revoked(page: Page, stage: Stage) -> None:
    console = Console(page)
    await console.log_in()
    await console.go_to("API keys")
    await page.get_by_text("Make a key").click()
    await console.enter("What it is for", "a program of the browser test")
    await console.press("Make the key")
    key = await page.locator(".copied-text").inner_text()
    async with stage.client(key) as client:
        assert (await client.get("/ns-api/v2/domains/~/calls")).status_code == 200
        await page.reload()
        row = console.rows().filter(has_text="a program of the browser test")
        await expect(row).to_be_visible()
        assert key not in await page.content()
        await row.get_by_role("button", name=re.compile("^Revoke")).click()
        await row.get_by_role("button", name="Revoke for good").click()
        await expect(row).to_have_count(0)
        await answers(client, "/ns-api/v2/domains/~/calls", 401)


async def test_a_subscription_is_made_tested_and_deleted(page: Page) -> None:
    """Its receiver is on this machine, where events may not be sent: the test says so, and so do its deliveries."""
    console = Console(page)
    await console.log_in()
    await console.go_to("Events")
    await expect(page.get_by_text("No subscriptions yet.")).to_be_visible()
    await console.enter("Send to", "http://127.0.0.1:9/events")
    await console.press("Subscribe")
    await expect(page.locator(".copied-text")).to_have_text(re.compile("^whsec_"))
    await console.press("I have kept it")
    await expect(page.get_by_text("Nothing was sent yet.")).to_be_visible()
    await console.press("Send a test")
    await expect(page.get_by_text(re.compile("^Test failed:"))).to_be_visible()
    await expect(console.rows().first.get_by_text("test")).to_be_visible()
    await console.press("Delete…")
    await console.press("Delete for good")
    await expect(page.get_by_text("No subscriptions yet.")).to_be_visible()


async def test_a_second_factor_is_asked_for(page: Page, stage: Stage) -> None:
    console = Console(page)
    user = "/ns-api/v2/domains/demo/users/1005"
    async with stage.client(stage.admin_key) as admin:
        body = {"user": "1005", "name-first-name": "Eva", "name-last-name": "Lund", "synchronous": "yes"}
        body |= {"user-scope": "Basic User", "email-address": "eva@example.com"}
        made = await admin.post("/ns-api/v2/domains/demo/users", json=body | {"user-login-password": PASSWORD})
        assert made.status_code == 200, made.text
        totp = pyotp.TOTP((await admin.post(f"{user}/mfa")).json()["secret"])
        assert (await admin.put(f"{user}/mfa", json={"passcode": totp.now()})).status_code == 202
        await console.open()
        await console.enter("User", "1005@demo")
        await console.enter("Password", PASSWORD)
        await console.press("Log in")
        await expect(page.get_by_label("Code")).to_be_focused()
        await console.enter("Code", "000000")
        await console.press("Log in")
        await expect(console.alert()).to_be_visible()
        # A code is good once, and that of now was used to confirm.
        await console.enter("Code", totp.at(int(time.time()) + 30))
        await console.press("Log in")
        await console.is_live()
        assert (await admin.delete(user)).status_code == 202


async def test_without_a_stream_lists_are_read_on_and_it_comes_back(page: Page, stage: Stage) -> None:
    console = Console(page)

    async def lose(route: Route) -> None:
        await route.abort()

    await page.route("**/ringbridge/v1/events", lose)
    await console.open()
    await console.enter("User", LOGIN)
    await console.enter("Password", PASSWORD)
    await console.press("Log in")
    await expect(page.get_by_text("Reconnecting…")).to_be_visible()
    async with a_call(stage, "read-from-the-list"):
        await expect(console.rows().filter(has_text="1002")).to_be_visible()
        await page.unroute("**/ringbridge/v1/events", lose)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=20_000)
    await expect(console.rows().get_by_text("Ended")).to_be_visible()


async def test_whoever_is_shut_out_is_logged_out_at_once_and_told_why(page: Page, stage: Stage) -> None:
    """A new password ends every login of the user, and the streams with it."""
    console = Console(page)
    await console.log_in()
    async with stage.client(stage.admin_key) as admin:
        body = {"user-login-password": PASSWORD}
        assert (await admin.put("/ns-api/v2/domains/demo/users/1001", json=body)).status_code == 202
    await console.sees("Ringbridge console")
    await expect(page.get_by_text("You were logged out:")).to_be_visible()


async def test_a_login_lasts_over_a_reload_and_ends_at_the_server(page: Page, stage: Stage) -> None:
    console = Console(page)
    tokens: list[str] = []
    page.on("request", lambda request: tokens.append(request.headers.get("authorization", "")))
    await console.log_in()
    await page.reload()
    await console.is_live()
    await console.press("Log out")
    await console.sees("Ringbridge console")
    await page.reload()
    await console.sees("Ringbridge console")
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
    token = tokens[-1].removeprefix("Bearer ") or next(one for one in reversed(tokens) if one)[7:]
    async with httpx.AsyncClient(base_url=stage.url, headers={"Authorization": f"Bearer {token}"}) as client:
        await answers(client, "/ns-api/v2/jwt", 401)


async def test_tokens_are_in_no_address_and_the_first_page_is_small(page: Page) -> None:
    console = Console(page)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    await console.log_in()
    token = await page.evaluate("JSON.parse(sessionStorage.getItem('ringbridge-console')).token")
    assert token
    assert not any(token in url or PASSWORD in url for url in urls)
    sizes = "performance.getEntriesByType('resource').map(one => one.encodedBodySize).reduce((a, b) => a + b, 0)"
    assert 0 < await page.evaluate(sizes) < FIRST_PAGE_BYTES


async def test_it_is_used_by_keyboard_alone(page: Page) -> None:
    console = Console(page)
    await console.open()
    keyboard = page.keyboard
    for _ in range(3):
        await keyboard.press("Tab")
    await keyboard.type(LOGIN)
    await keyboard.press("Tab")
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await console.is_live()
    await page.get_by_role("link", name="Place a call").first.focus()
    await keyboard.press("Enter")
    await console.sees("Place a call")
    await expect(page.get_by_role("main")).to_be_focused()
    await expect(page).to_have_title("Place a call · Ringbridge")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
async def test_no_page_has_a_grave_fault_for_those_who_see_hear_or_move_otherwise(
    open_page: OpenPage, stage: Stage, look: str
) -> None:
    size = {"width": 390, "height": 844} if look == "phone" else {"width": 1280, "height": 900}
    page = await open_page(color_scheme="dark" if look == "dark" else "light", viewport=size)
    console = Console(page)
    await console.open()
    assert await grave_faults(page) == []
    await console.log_in()
    assert await grave_faults(page) == []
    await console.place("1002")
    await console.is_in_state("Connected")
    assert await grave_faults(page) == []
    await console.press("Transfer…")
    await page.get_by_text("The steps as a table").click()
    assert await grave_faults(page) == []
    await console.press("End")
    await console.is_in_state("Ended")
    for name in PAGES[1:]:
        await console.go_to(name)
        await expect(page.get_by_text("Loading…")).to_have_count(0)
        for more in await page.get_by_role("main").locator("details:not([open]) > summary").all():
            await more.click()
        assert await grave_faults(page) == [], name
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"


async def test_the_pages_break_no_rule_of_their_policy(page: Page, watches: list[Watch]) -> None:
    """What the policy refuses is an error in the browser's console; `watches` fails the test for it at its end."""
    console = Console(page)
    await console.log_in()
    for name in PAGES:
        await console.go_to(name)
    assert await page.evaluate("fetch('http://192.0.2.1/').then(() => 'went', () => 'refused')") == "refused"
    (watch,) = watches
    assert [one for one in watch.complaints if "Content Security Policy" in one]
    watch.complaints.clear()
    watch.foreign.clear()
