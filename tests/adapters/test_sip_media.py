"""The relay sessions of a call, with a real relay: how many there are, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.relay.child import RelayChild
from ringbridge.adapters.relay.rtpproxy import EXTERNAL, Relay
from ringbridge.adapters.sip.leg import SipCall
from ringbridge.adapters.sip.media import RelaySessions
from ringbridge.calls.ports import LegOrder
from ringbridge.model.call import Side
from ringbridge.model.errors import CallError
from ringbridge.model.events import CallerId, Target
from ringbridge.model.ids import DomainName, LegId, SessionId
from tests.adapters.relay_folder import relay_in


@asynccontextmanager
async def a_call(data_dir: Path) -> AsyncIterator[tuple[RelaySessions, SipCall, RelayChild]]:
    """Give a call without legs, which has its first session."""
    async with relay_in(data_dir) as child:
        first = await child.relay.open("s-1")
        yield (
            RelaySessions(child.relay, owner="n1"),
            SipCall(SessionId("s-1"), "acme", first, {first.session_id: first}),
            child,
        )


def order() -> LegOrder:
    target = Target("sip:1001@192.0.2.1", "udp", "192.0.2.1", 5060, "1001", "sip:1001@acme")
    return LegOrder(SessionId("s-1"), LegId("o1"), target, CallerId("1000"), DomainName("acme"))


async def test_two_that_ask_at_once_get_a_session_each(data_dir: Path) -> None:
    async with a_call(data_dir) as (media, call, child):

        async def ask(side: Side) -> tuple[str, int]:
            async with media.another(call, side, learns=True) as session:
                await asyncio.sleep(0.05)
                return session.session_id, (await child.relay.ping()).sessions

        found = await asyncio.gather(*map(ask, Side))
        assert found == [("s-1.1", 3), ("s-1.2", 3)]
        assert (await child.relay.ping()).sessions == 1


async def test_an_engine_that_comes_too_late_leaves_the_session_of_the_other_alone(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        owner, late = (RelaySessions(child.relay, owner=name) for name in ("n1", "n2"))
        first = await owner.first(order())
        assert (await owner.first(order())).session_id == first.session_id, "again after a restart"
        other = await late.first(order())
        assert (first.orig_port, first.term_port) != (other.orig_port, other.term_port)
        late.close(SipCall(SessionId("s-1"), "acme", other, {other.session_id: other}))
        assert (await child.relay.ping()).sessions == 1
        await child.relay.traffic(first)


async def test_a_session_of_an_external_relay_is_taken_up_whatever_its_instance_was_called(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        relay = await Relay.connect(msgspec.structs.replace(child.relay.address, instance=EXTERNAL))
        media = RelaySessions(relay, owner="n1")
        session = await media.first(order())
        before = msgspec.structs.replace(session, instance=f"{EXTERNAL}+1")  # it was restarted once, we have since
        assert await media.taken_up(before) == session
        await relay.close(session)
        assert (await media.taken_up(session)).instance != relay.instance
        relay.close_client()
        assert (await media.taken_up(before)).instance == relay.instance, "who is silent may still have it"


async def test_a_session_of_our_own_relay_is_what_its_record_says(data_dir: Path) -> None:
    async with a_call(data_dir) as (media, call, _):
        lost = msgspec.structs.replace(call.relay, instance="an earlier one")
        assert await media.taken_up(lost) == lost


async def test_what_a_leg_is_being_made_for_is_not_tidied_away(data_dir: Path) -> None:
    async with a_call(data_dir) as (media, call, child):
        async with media.another(call, Side.ORIGINATION, learns=True):
            media.tidy(call)
            assert (await child.relay.ping()).sessions == 2
        assert (await child.relay.ping()).sessions == 1


async def test_a_call_that_ends_before_the_relay_answers_leaves_nothing(data_dir: Path) -> None:
    async with a_call(data_dir) as (media, call, child):

        async def ask() -> None:
            async with media.another(call, Side.ORIGINATION, learns=True):
                pass

        asking = asyncio.get_running_loop().create_task(ask())
        await asyncio.sleep(0)
        media.close(call)
        with pytest.raises(CallError):
            await asking
        assert (await child.relay.ping()).sessions == 0


async def test_a_sweep_leaves_what_legs_are_in_and_no_more(data_dir: Path) -> None:
    async with a_call(data_dir) as (media, call, child):
        names = ("s-1.1", "s-1.2", "s-1.3", "s-1.4", "s-2")
        for name in names:
            await child.relay.open(name)
        async with media.another(call, Side.ORIGINATION, learns=True) as session:  # "s-1.1", which was there
            assert session.session_id == "s-1.1"
            call.relay = session
        assert "s-1" not in call.relays
        media.sweep(call)
        assert (await child.relay.ping()).sessions == 3, "its own, one too far away to be its, and another call's"
        media.sweep(call, transfers=1)
        assert (await child.relay.ping()).sessions == 2, "that of a transfer of which no leg is left"
