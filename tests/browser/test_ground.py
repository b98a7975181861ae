"""The ground itself: what it has to find, it finds."""

from __future__ import annotations

from playwright.async_api import Page

from tests.browser.axe import grave_faults
from tests.browser.stage import LOGIN, PASSWORD, Stage
from tests.browser.watch import Watch

FAULTY = """<!doctype html><title>Faulty</title>
<body><p style="color: #ccc">pale</p><img src="http://192.0.2.1/picture.png">
<script>throw new Error("nobody catches this")</script></body>"""


async def test_a_page_of_the_demo_opens(page: Page, stage: Stage) -> None:
    answer = await page.goto("/healthz")
    assert answer is not None
    assert answer.status == 200
    assert answer.url.startswith(stage.url)


async def test_requests_to_others_and_errors_are_noticed(page: Page, watches: list[Watch]) -> None:
    await page.goto("/healthz")
    await page.set_content(FAULTY)
    (watch,) = watches
    assert watch.foreign == ["http://192.0.2.1/picture.png"]
    assert ["nobody catches this" in one for one in watch.complaints] == [True]
    watch.foreign.clear()
    watch.complaints.clear()


async def test_grave_faults_are_found_where_there_are_some_alone(page: Page) -> None:
    await page.goto("/healthz")
    await page.set_content('<!doctype html><html lang="en"><title>Well</title><main><h1>Well</h1></main></html>')
    assert await grave_faults(page) == []
    await page.set_content('<!doctype html><title>Pale</title><main><p style="color: #ccc">pale</p></main>')
    assert sorted(fault.partition(" ")[0] for fault in await grave_faults(page)) == ["color-contrast", "html-has-lang"]


async def test_user_1001_has_a_key_and_a_password_and_another_tenant_sees_nothing(stage: Stage) -> None:
    calls = "/ns-api/v2/domains/demo/users/1001/calls"
    login = {"grant_type": "password", "client_id": "ringbridge", "username": LOGIN, "password": PASSWORD}
    async with stage.client() as mine, stage.client(stage.other_key) as theirs, stage.client("") as nobody:
        assert (await mine.get(calls)).status_code == 200
        assert (await theirs.get(calls)).status_code == 404
        assert (await nobody.post("/ns-api/v2/tokens", json=login)).status_code == 200
