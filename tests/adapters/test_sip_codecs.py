"""A connection that takes PCMU alone, on real sockets: what it is offered, and what it may not change."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringbridge.adapters.sip.leg_events import NO_COMMON_CODEC
from ringbridge.calls.found import connection_target
from ringbridge.calls.orders import leg_orders
from ringbridge.calls.ports import Answered, LegOrder, LegSignal, Refused
from ringbridge.media import offer_answer
from ringbridge.media.sdp import PCMA, PCMU, Codec, parse
from ringbridge.model.call import Side
from ringbridge.model.directory import Connection
from ringbridge.model.ids import LegId
from ringbridge.phone.rtp import RtpParty
from tests.adapters.loops import until
from tests.adapters.test_sip_engine import Phone, dial, stage
from tests.calls.samples import DOMAIN, requested, requested_call


def through_trunk(phone: Phone, leg_id: str = "t1") -> LegOrder:
    """Return the order for a phone that stands behind a connection which takes PCMU alone."""
    at = f"{phone.node.host}:{phone.node.port}"
    trunk = Connection(DOMAIN, "trunk", connection_address=at, other={"connection-pcmu-only-enabled": "yes"})
    return msgspec.structs.replace(phone.order(leg_id), target=connection_target(trunk, "4570", ""))


def names(offer: bytes) -> list[str]:
    return [codec.name for codec in parse(offer).media[0].codecs]


def answered(told: list[LegSignal], leg_id: str) -> bool:
    return any(isinstance(one, Answered) and one.leg_id == leg_id for one in told)


def test_the_first_leg_too_is_offered_what_the_second_takes() -> None:
    call = requested_call(requested())
    assert call.plan is not None
    (target,) = call.plan.termination
    assert not any(order.pcmu_only for side in Side for order in leg_orders(call, side))
    plan = msgspec.structs.replace(call.plan, termination=(msgspec.structs.replace(target, pcmu_only=True),))
    call = msgspec.structs.replace(call, plan=plan)
    assert all(order.pcmu_only for side in Side for order in leg_orders(call, side))


async def test_it_is_offered_nothing_else_and_gets_nothing_else_later(data_dir: Path) -> None:
    first, trunk = Phone(await RtpParty.open(ssrc=1)), Phone(await RtpParty.open(ssrc=2))
    async with stage(data_dir, [first, trunk]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: answered(told, "o1"))
        await dial(engine, through_trunk(trunk))
        await trunk.answer()
        await until(lambda: answered(told, "t1"))
        assert names(first.offers[0]) == ["PCMU", "PCMA", "telephone-event"]
        assert names(trunk.offers[0]) == ["PCMU", "telephone-event"]

        async def offered(*codecs: Codec) -> int:
            ours = offer_answer.offer(session_id=1, host=trunk.rtp.host, port=trunk.port, codecs=codecs, version=9)
            before = len(trunk.results)
            trunk.node.endpoint.reinvite(trunk.invites[0].session, ours.sdp(), trunk.node.now())
            trunk.node.wake()
            await until(lambda: len(trunk.results) > before)
            return trunk.results[-1]

        assert await offered(PCMA) == 488  # the first leg would take it
        assert await offered(PCMA, PCMU) == 200
        assert names(trunk.offers[-1]) == ["PCMU"]


async def test_a_party_that_speaks_none_of_it_is_not_connected(data_dir: Path) -> None:
    first, trunk = Phone(await RtpParty.open(ssrc=1)), Phone(await RtpParty.open(ssrc=2))
    first.codecs = (PCMA,)
    async with stage(data_dir, [first, trunk]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: answered(told, "o1"))
        await dial(engine, through_trunk(trunk))
        await until(lambda: Refused(LegId("t1"), NO_COMMON_CODEC) in told)
        assert not trunk.invites


async def test_an_answer_with_something_else_is_none(data_dir: Path) -> None:
    trunk = Phone(await RtpParty.open(ssrc=2))
    async with stage(data_dir, [trunk]) as (engine, told):
        await dial(engine, through_trunk(trunk, "o1"))
        await until(lambda: bool(trunk.invites))
        ours = offer_answer.offer(session_id=1, host=trunk.rtp.host, port=trunk.port, codecs=(PCMA,))
        trunk.node.endpoint.answer(trunk.invites[0].session, ours.sdp(), trunk.node.now())
        trunk.node.wake()
        await until(lambda: told == [Refused(LegId("o1"), NO_COMMON_CODEC)])
