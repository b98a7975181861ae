"""Recordings as who listens has them: whole nodes, phones that talk in tones, and the WAV that the API's link gives."""

from __future__ import annotations

import asyncio
import time
import wave
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import httpx
import pytest
import pytest_asyncio

from ringbridge.media.g711 import SAMPLE_RATE
from ringbridge.phone.audio import heard_tones
from ringbridge.phone.settings import Behaviour
from tests.live.node import DOMAIN, PASSWORD, Api, Node, document, node, user
from tests.live.talkers import MUSIC, Talker, all_hung_up, talkers

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALK_S = 1.5


def recorded(name: str) -> dict[str, object]:
    """Return a user whose device is recorded."""
    device = {
        "device": name,
        "device-sip-registration-password": PASSWORD,
        "device-level-call-recording-enabled": "yes",
    }
    return user(name) | {"devices": [device]}


@dataclass
class Heard:
    """A WAV file, one party a channel."""

    left: array[int]
    right: array[int]

    @property
    def seconds(self) -> float:
        return len(self.left) / SAMPLE_RATE

    def tones(self, *, at_s: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return what is heard at a time, on the left and on the right."""
        end = int((at_s + 0.1) * SAMPLE_RATE)
        left, right = (
            tuple(round(tone.frequency_hz, -1) for tone in heard_tones(side[:end])) for side in (self.left, self.right)
        )
        return tuple(map(int, left)), tuple(map(int, right))


def wav(content: bytes) -> Heard:
    with wave.open(BytesIO(content)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (SAMPLE_RATE, 2, 2)
        samples = array("h", file.readframes(file.getnframes()))
    return Heard(samples[::2], samples[1::2])


async def listed(api: Api, call_id: str) -> list[dict[str, Any]]:
    answer = await api.http.get(f"/ns-api/v2/domains/{DOMAIN}/recordings/{call_id}")
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def recording(api: Api, call_id: str, *, within_s: float = 40.0) -> dict[str, Any]:
    """Return the one recording of a call, once it is made."""
    end = time.monotonic() + within_s
    while not (found := await listed(api, call_id)):
        assert time.monotonic() < end, f"{call_id} has no recording after {within_s} s"
        await asyncio.sleep(0.1)
    assert len(found) == 1
    return found[0]


async def fetched(url: str, **headers: str) -> httpx.Response:
    """Return what stands behind a link, for whoever has nothing but the link."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as anybody:
        return await anybody.get(url, headers=headers)


@dataclass
class Stage:
    """A node with three users: only the first one's phone is recorded."""

    node: Node
    api: Api
    ann: Talker
    bob: Talker
    cid: Talker

    async def connected(self, call_id: str, orig: Talker, term: Talker) -> None:
        await self.api.place(call_id, orig.user, term.user)
        await self.api.in_state(call_id, "connected")
        await orig.hears(term)
        await term.hears(orig)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[recorded("1001"), user("1002", "1002"), user("1003", "1003")])
    async with node(directory) as (one, api):
        phones = (Talker(one, "1001", 1000), Talker(one, "1002", 1200), Talker(one, "1003", 1400))
        async with talkers(one, *phones):
            yield Stage(one, api, *phones)
        assert one.faults() == []


async def test_each_party_is_heard_in_a_channel_of_its_own(stage: Stage) -> None:
    await stage.connected("talk", stage.ann, stage.bob)
    await asyncio.sleep(TALK_S)
    assert await listed(stage.api, "talk") == [], "nothing is shown of a call that goes on"
    stage.bob.phone.hang_up()
    told = await recording(stage.api, "talk")
    call = await stage.api.call("talk")
    assert (told["call-id"], told["call-recording-status"]) == ("talk", "converted")
    began, joined = (
        datetime.fromisoformat(at) for at in (told["call-recording-started-datetime"], call["call-answer-datetime"])
    )
    assert abs((began - joined).total_seconds()) < 1
    assert told["file-access-url"].startswith(f"http://127.0.0.1:{stage.node.http_port}/")
    answer = await fetched(told["file-access-url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert told["file-size-kilobytes"] == -(-len(answer.content) // 1024)
    heard = wav(answer.content)
    assert abs(told["file-duration-seconds"] - heard.seconds) <= 0.5
    assert heard.seconds > TALK_S
    assert heard.tones(at_s=heard.seconds / 2) == ((1000,), (1200,))
    part = await fetched(told["file-access-url"], range="bytes=44-99")
    assert (part.status_code, part.content) == (206, answer.content[44:100])
    by_session = await listed(stage.api, call["call-session-id"])
    assert [one["call-id"] for one in by_session] == ["talk"]
    await all_hung_up(stage.ann, stage.bob)


async def test_only_calls_of_a_recorded_phone_are_recorded(stage: Stage) -> None:
    await stage.connected("unheard", stage.cid, stage.bob)
    assert await stage.api.delete("unheard") == 202
    await stage.connected("called", stage.bob, stage.ann)
    assert await stage.api.delete("called") == 202
    heard = wav((await fetched((await recording(stage.api, "called"))["file-access-url"])).content)
    assert heard.tones(at_s=heard.seconds / 2) == ((1200,), (1000,))
    assert await listed(stage.api, "unheard") == []
    await all_hung_up(stage.ann, stage.bob, stage.cid)


async def test_a_recording_ends_when_the_recorded_phone_leaves_the_call(stage: Stage) -> None:
    await stage.connected("passed-on", stage.ann, stage.bob)
    held = await stage.api.http.patch(f"{stage.api.path}/passed-on/hold")
    assert held.status_code == 202
    await stage.bob.hears(MUSIC)
    told = await stage.api.http.patch(f"{stage.api.path}/passed-on/transfer", json={"call-term-user": "1003"})
    assert told.status_code == 202
    await stage.bob.hears(stage.cid)
    await asyncio.sleep(TALK_S)
    assert await stage.api.delete("passed-on") == 202
    heard = wav((await fetched((await recording(stage.api, "passed-on"))["file-access-url"])).content)
    seen = [heard.tones(at_s=at / 4) for at in range(int(heard.seconds * 4))]
    assert ((1000,), (1200,)) in seen
    everything = {tone for both in seen for side in both for tone in side}
    assert 1400 not in everything, "whom the recorded phone did not speak with is not recorded"
    await all_hung_up(stage.ann, stage.bob, stage.cid)


async def test_a_killed_engine_loses_nothing_of_a_recording() -> None:
    directory = document(users=[recorded("1001"), user("1002", "1002")])
    async with node(directory) as (one, api):
        ann, bob = Talker(one, "1001", 1000), Talker(one, "1002", 1200)
        async with talkers(one, ann, bob):
            await api.place("cut", "1001", "1002")
            await api.in_state("cut", "connected")
            await ann.hears(bob)
            started = time.monotonic()
            await one.kill()
            await asyncio.sleep(1)
            await one.start()
            await api.in_state("cut", "connected")
            assert await listed(api, "cut") == []
            await one.kill()
            bob.phone.hang_up()  # nobody is there to hear of it; the relay goes on writing
            await asyncio.sleep(1)
            lasted_s = time.monotonic() - started
            await one.start()
            heard = wav((await fetched((await recording(api, "cut"))["file-access-url"])).content)
            assert heard.seconds > lasted_s - 1.5
            for at_s in (0.5, lasted_s / 2, lasted_s - 1.5):
                assert heard.tones(at_s=at_s)[0] == (1000,)


async def test_a_disk_that_is_nearly_full_harms_no_call() -> None:
    directory = document(users=[recorded("1001"), user("1002", "1002")])
    async with node(directory, settings={"recordings.least_free_bytes": 10**17}) as (one, api):
        ann = Talker(one, "1001", 1000)
        bob = Talker(one, "1002", 1200, behaviour=Behaviour(answer_after_s=0.05, tone_hz=1200))
        async with talkers(one, ann, bob):
            await api.place("no-room", "1001", "1002")
            await api.in_state("no-room", "connected")
            await ann.hears(bob)
            assert await api.delete("no-room") == 202
            assert (await api.cdr("no-room"))["call-disconnect-reason-text"] == "System: deleted"
            assert list((one.data / "relay" / "spool").iterdir()) == []
            assert await listed(api, "no-room") == []
            assert any("the disk is nearly full" in line for line in one.faults())
