"""Audio goes only where it may: what a phone's `c=` names is the phone's own choice."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from msgspec.structs import replace

from ringbridge.adapters.sip.leg_events import TRANSPORT_FAILED
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.adapters.sip.remote_media import MEDIA_REFUSED
from ringbridge.calls.ports import Answered, HungUp, Refused
from ringbridge.model.addresses import PeerRules
from ringbridge.model.ids import LegId
from ringbridge.phone.rtp import RtpParty
from tests.adapters import test_sip_engine
from tests.adapters.loops import until
from tests.adapters.test_sip_engine import CALL, Phone, dial, stage

NO_BUS = SipNodeSettings(port=0, peers=PeerRules(loopback=True, denied=(ip_network("127.0.0.2/32"),)))
"""The operator's servers are at 127.0.0.2."""


@pytest.fixture(autouse=True)
def _denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_sip_engine, "NODE", NO_BUS)


async def test_audio_is_not_sent_to_a_server_of_the_operators(data_dir: Path) -> None:
    first = Phone(await RtpParty.open(ssrc=1))
    first.rtp.host = "127.0.0.2"
    async with stage(data_dir, [first]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: any(isinstance(one, Refused) for one in told))
        assert told[-1] == Refused(LegId("o1"), MEDIA_REFUSED)
        assert engine._node.endpoint.counters.refused_addresses == 1
        await until(lambda: engine._node.endpoint.sizes().sessions == 0)


async def test_audio_does_not_move_to_a_server_of_the_operators(data_dir: Path) -> None:
    first = Phone(await RtpParty.open(ssrc=1))
    async with stage(data_dir, [first]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: any(isinstance(one, Answered) for one in told))
        first.rtp.host = "127.0.0.2"
        first.move(4222)
        await until(lambda: engine._node.endpoint.counters.refused_addresses == 1)
        leg = engine._calls[CALL].legs[LegId("o1")]
        assert leg.remote is not None
        assert (leg.remote.host, leg.released) == ("127.0.0.1", None)


async def test_a_leg_that_leads_to_a_server_of_the_operators_ends(data_dir: Path) -> None:
    first = Phone(await RtpParty.open(ssrc=1))
    first.node = SipNode(SipNodeSettings(port=0, public_address="127.0.0.2"), on_event=first._take)
    async with stage(data_dir, [first]) as (engine, told):
        order = first.order("o1")
        await dial(engine, replace(order, target=replace(order.target, host="127.0.0.1")))
        await first.answer()
        await until(lambda: bool(told) and isinstance(told[-1], HungUp))
        assert told[-1] == HungUp(LegId("o1"), TRANSPORT_FAILED)
        assert engine._node.endpoint.sizes().sessions == 0
