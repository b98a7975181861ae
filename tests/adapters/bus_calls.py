"""Events and records that the tests of this folder share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringbridge.model.events import CallerId, CallPlan, CallRequest, CallRequested, Target
from ringbridge.model.ids import CallId, DomainName, NodeId, SessionId, UserName

DOMAIN = DomainName("demo.example")


class TestClock:
    """A clock that stands where it is put."""

    __test__ = False

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


async def until(condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
    """Return when `condition` holds; fail when it does not within `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def target(name: str) -> Target:
    return Target(
        uri=f"sip:{name}@127.0.0.1:5062",
        transport="UDP",
        host="127.0.0.1",
        port=5062,
        label=name,
        to_uri=f"sip:{name}@demo",
        user=name,
        domain=DOMAIN,
    )


def requested(
    call_id: str, *, domain: DomainName = DOMAIN, user: str = "1001", at: float = 1_000_000.0
) -> CallRequested:
    """Return the first event of a call from 1001 to 1002."""
    return CallRequested(
        domain=domain,
        user=UserName(user),
        call_id=CallId(call_id),
        session_id=SessionId(f"s-{call_id}"),
        request=CallRequest(domain=domain, user=user, call_id=call_id, call_term_user="1002"),
        plan=CallPlan(
            origination=(target("1001"),),
            termination=(target("1002"),),
            origination_caller_id=CallerId("1002"),
            termination_caller_id=CallerId("1001"),
            dialled="1002",
        ),
        at=at,
        dial_before=at + 30,
        node=NodeId("n1"),
    )
