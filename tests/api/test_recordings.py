"""Recordings over HTTP: who is told of them, and what their links give (contract §6)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from msgspec.structs import replace

from ringbridge.calls.recording_ports import Recording
from ringbridge.model.directory import Domain
from tests.api.world import World

AT = "/ns-api/v2/domains/demo"
CONTENT = bytes(range(256)) * 4


def keep(world: World, call_id: str = "click-1", *, users: tuple[str, ...] = ("1001",)) -> Recording:
    """Put a recording into the folder."""
    draft = world.recordings.draft("demo", call_id, "s-1", 1_800_000_000_000)
    draft.write_bytes(CONTENT)
    recording = Recording(
        domain="demo",
        call_id=call_id,
        session_id="s-1",
        users=users,
        requested_at=world.clock.now(),
        began_at=1_800_000_000.0,
        seconds=61.4,
        size=len(CONTENT),
        name=draft.stem,
    )
    world.recordings.keep(draft, recording)
    return recording


@pytest.fixture
async def manager(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(world.manager_key) as one:
        yield one


async def link(world: World, client: httpx.AsyncClient) -> str:
    keep(world)
    (told,) = (await client.get(f"{AT}/users/1001/recordings/click-1")).json()
    return str(told["file-access-url"])


async def test_a_recording_is_told_as_the_schema_has_it(world: World, manager: httpx.AsyncClient) -> None:
    keep(world)
    (told,) = (await manager.get(f"{AT}/recordings/click-1")).json()
    url = told.pop("file-access-url")
    assert url.startswith("http://ringbridge.test/ringbridge/v1/domains/demo/recordings/")
    assert told == {
        "call-recording-status": "converted",
        "call-id": "click-1",
        "call-recording-started-datetime": "2027-01-15T08:00:00.000+00:00",
        "call-recording-ended-datetime": "2027-01-15T08:01:01.400+00:00",
        "call-recording-remote-wav": None,
        "call-recording-remote-wav-size-kilobytes": None,
        "call-recording-remote-storage-config-id": None,
        "call-recording-match-pattern": None,
        "call-recording-retrieved-datetime": None,
        "file-duration-seconds": 61,
        "geo-call-id": None,
        "file-size-kilobytes": 1,
    }


async def test_a_call_without_recording_has_none(world: World, manager: httpx.AsyncClient) -> None:
    for path in (f"{AT}/recordings/c1", f"{AT}/users/1001/recordings/c1"):
        answer = await manager.get(path)
        assert (answer.status_code, answer.json()) == (200, [])
    assert (await manager.get("/ns-api/v2/domains/other/recordings/c1")).status_code == 404
    async with world.client(world.super_key) as admin:
        assert (await admin.get("/ns-api/v2/domains/none/recordings/c1")).status_code == 404


async def test_a_user_is_told_of_calls_that_they_were_in(world: World) -> None:
    keep(world)
    async with world.client() as mine, world.client(world.other_user_key) as theirs:
        assert len((await mine.get(f"{AT}/users/~/recordings/click-1")).json()) == 1
        assert (await theirs.get(f"{AT}/users/~/recordings/click-1")).json() == []
        assert (await theirs.get(f"{AT}/users/1001/recordings/click-1")).status_code == 403
        assert (await theirs.get(f"{AT}/recordings/click-1")).status_code == 403


async def test_whoever_gets_the_name_later_is_told_nothing(world: World, manager: httpx.AsyncClient) -> None:
    keep(world)
    world.put(replace(Domain("demo"), made_at=world.clock.now() + 60))
    assert (await manager.get(f"{AT}/recordings/click-1")).json() == []
    async with world.client(world.super_key) as admin:
        assert len((await admin.get(f"{AT}/recordings/click-1")).json()) == 1


async def test_a_link_needs_no_token(world: World, client: httpx.AsyncClient) -> None:
    url = await link(world, client)
    async with world.client("") as anybody:
        answer = await anybody.get(url)
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "status", "told", "first", "last"),
    [
        ("bytes=0-", 206, "bytes 0-1023/1024", 0, 1024),
        ("bytes=100-199", 206, "bytes 100-199/1024", 100, 200),
        ("bytes=1000-5000", 206, "bytes 1000-1023/1024", 1000, 1024),
        ("bytes=-24", 206, "bytes 1000-1023/1024", 1000, 1024),
        ("bytes=-5000", 206, "bytes 0-1023/1024", 0, 1024),
        ("bytes=9-1", 200, None, 0, 1024),
        ("bytes=0-1,4-5", 200, None, 0, 1024),
        ("pages=1-2", 200, None, 0, 1024),
        ("bytes=-", 200, None, 0, 1024),
    ],
)
async def test_a_part_of_a_file(
    world: World, client: httpx.AsyncClient, asked: str, status: int, told: str | None, first: int, last: int
) -> None:
    answer = await client.get(await link(world, client), headers={"range": asked})
    assert (answer.status_code, answer.headers.get("content-range")) == (status, told)
    assert answer.content == CONTENT[first:last]


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=-0"])
async def test_a_part_that_is_not_there(world: World, client: httpx.AsyncClient, asked: str) -> None:
    answer = await client.get(await link(world, client), headers={"range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */1024")


async def test_a_link_is_good_for_its_time_and_its_file(world: World, client: httpx.AsyncClient) -> None:
    url = httpx.URL(await link(world, client))
    seal = url.params["seal"]
    changed = (
        url.copy_set_param("expires", str(int(url.params["expires"]) + 1)),
        url.copy_set_param("seal", seal[:-1] + ("0" if seal[-1] != "0" else "1")),
        url.copy_set_param("seal", ""),
        url.copy_set_param("seal", "7." + seal.partition(".")[2]),
        url.copy_with(path=url.path.replace("/demo/", "/other/")),
        url.copy_with(path=url.path.replace(".s-1.", ".s-2.")),
        url.copy_remove_param("expires"),
    )
    for one in changed:
        assert (await client.get(one)).status_code == 404, one
    world.clock.time += 3600
    assert (await client.get(url)).status_code == 200
    world.clock.time += 1
    late = await client.get(url)
    assert (late.status_code, late.json()["errors"][0]["code"]) == (403, "link-expired")


async def test_a_file_that_was_deleted_is_gone(world: World, client: httpx.AsyncClient) -> None:
    url = await link(world, client)
    assert world.recordings.expire(1.0, now=2**33) == 1
    assert (await client.get(url)).status_code == 404
    assert (await client.get(f"{AT}/users/1001/recordings/click-1")).json() == []


async def test_a_seal_is_no_token(world: World, client: httpx.AsyncClient) -> None:
    seal = httpx.URL(await link(world, client)).params["seal"]
    async with world.client(seal) as somebody:
        assert (await somebody.get(f"{AT}/recordings/click-1")).status_code == 401
