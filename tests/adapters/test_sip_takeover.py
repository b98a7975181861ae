"""A transfer takes over a side of the relay where the relay can follow it. No INVITE leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from ringbridge.adapters.memory_store import MemoryStore
from ringbridge.adapters.sip_engine import SipEngine
from ringbridge.adapters.sip_node import SipNode, SipNodeSettings
from ringbridge.calls.ports import LegOrder
from ringbridge.model.call import Side
from ringbridge.model.errors import CallError
from ringbridge.model.events import CallerId
from ringbridge.model.ids import LegId, SessionId
from tests.adapters.relay_folder import relay_in
from tests.calls.samples import DOMAIN, O1, O2, VirtualClock, target

NAT = frozenset({O1, O2})


def order(leg_id: LegId, behind_nat: frozenset[LegId], *, transfer: int = 0) -> LegOrder:
    nat = leg_id in behind_nat
    learn = (Side.ORIGINATION,) if nat else ()
    phone = replace(target("1001"), nat=nat)
    return LegOrder(SessionId("s-1"), leg_id, phone, CallerId("1002"), DOMAIN, transfer=transfer, learn=learn)


@pytest.mark.parametrize("behind_nat", [frozenset(), frozenset({O1}), frozenset({O2}), NAT])
async def test_a_side_behind_nat_is_not_taken_over(data_dir: Path, behind_nat: frozenset[LegId]) -> None:
    async with relay_in(data_dir / "relay") as child:
        node = SipNode(SipNodeSettings(port=0), on_event=lambda _: None)
        await node.start()
        try:
            engine = SipEngine(node=node, relay=child.relay, directory=MemoryStore(VirtualClock()), ringback="us")
            await engine.prepare([order(O1, behind_nat)])
            taking = engine.prepare([order(O2, behind_nat, transfer=1)])
            if behind_nat:
                with pytest.raises(CallError) as said:
                    await taking
                assert said.value.code == "media-behind-nat"
            else:
                assert [leg.leg_id for leg in await taking] == [O2]
            await engine.close(SessionId("s-1"))
        finally:
            await node.stop()
