"""DELETE: a call ends in whatever state it is, wherever it runs, or the caller learns that it does not."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.adapters.memory.phones import RINGS, SILENT, MemoryPhones, Script
from ringbridge.calls import control as control_module
from ringbridge.calls.commands import EndCommand, decode_answer, encode_command
from ringbridge.calls.control import BAR_S, Control
from ringbridge.model import release
from ringbridge.model.call import Call, CallState, fold
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from ringbridge.model.events import CallBarred, CallClaimed, EndRequested
from ringbridge.model.ids import CallId, NodeId
from tests.calls.nodes import EngineNode, ends, messages, new_phones, on_bus, running, settled, until
from tests.calls.samples import DOMAIN, NODE, START, VirtualClock, requested, requested_call


async def end(bus: MemoryBus, call: Call | None, *, user: str = "1001", name: str = "c1") -> None:
    control = Control(bus=bus, clock=VirtualClock())
    await control.end(call, domain=DOMAIN, user=user, name=name, by="key-1")


async def known(hub: MemoryHub, call_id: str = "c1") -> Call:
    """Return the call as an API node knows it, with the bus's own sequence."""
    call: Call | None = None
    for message in await MemoryBus(hub).read_call(DOMAIN, CallId(call_id)):
        call = fold(call, message.events, message.sequence)
    assert call is not None
    return call


STAGES: dict[str, tuple[dict[str, Script], CallState]] = {
    "dialled": ({"1001": SILENT}, CallState.CLAIMED),
    "first leg rings": ({"1001": RINGS}, CallState.ORIG_RINGING),
    "second leg is dialled": ({"1002": SILENT}, CallState.ORIG_ANSWERED),
    "second leg rings": ({"1002": RINGS}, CallState.TERM_RINGING),
    "joined": ({}, CallState.CONNECTED),
}


@pytest.mark.parametrize("stage", list(STAGES))
@pytest.mark.parametrize("answers_cancel", [False, True])
async def test_a_call_is_ended_in_every_state(stage: str, *, answers_cancel: bool) -> None:
    phones, hub = new_phones(), MemoryHub()
    scripts, state = STAGES[stage]
    phones.scripts = {
        label: Script(rings=script.rings, status=None, answers_cancel=answers_cancel)
        for label, script in scripts.items()
    }
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is state)
        await settled()
        await end(node.bus, await known(hub))
        assert on_bus(hub).end_requested_by == "key-1", "the wish is stored when DELETE returns"
        await until(lambda: on_bus(hub).is_over)
        cause = release.DELETED_WHILE_UP if state is CallState.CONNECTED else release.DELETED
        assert (on_bus(hub).release, on_bus(hub).ended_by) == (cause, "system")
        assert phones.busy() == []
        await end(node.bus, await known(hub))
        assert ends(hub) == 1, "DELETE again is a success and does nothing"


async def test_an_unclaimed_call_is_ended_on_the_bus_and_rings_nobody() -> None:
    phones, hub = new_phones(), MemoryHub()
    bus = MemoryBus(hub)
    await bus.create_call(DOMAIN, CallId("c1"), [requested()])
    await end(bus, await known(hub))
    assert (on_bus(hub).release, on_bus(hub).owner) == (release.DELETED, "")
    async with running(phones, hub) as node:
        await settled()
        await until(lambda: node.owner.active == 0)
        assert phones.invites == []
        assert ends(hub) == 1
        await until(lambda: len(node.store._cdrs) == 1)


async def test_a_call_that_is_claimed_meanwhile_is_ended_by_its_owner() -> None:
    """The API node still thinks that nobody has it."""
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        stale = await known(hub)
        assert stale.owner == ""
        await until(lambda: len(phones.invites) == 1)
        await end(node.bus, stale)
        await until(lambda: on_bus(hub).is_over)
        assert phones.busy() == []
        assert ends(hub) == 1


async def test_a_call_that_is_over_meanwhile_is_no_error() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.ORIG_RINGING)
        stale = await known(hub)
        phones.of("s-c1", "o1").refuse(486)
        await until(lambda: node.owner.active == 0)
        await end(node.bus, stale)
        assert on_bus(hub).release == release.of_sip_status(486)
        assert ends(hub) == 1


async def test_many_deletes_at_once_all_succeed_and_end_it_once() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.TERM_RINGING)
        call = await known(hub)
        await asyncio.gather(*(end(node.bus, call) for _ in range(20)))
        await until(lambda: on_bus(hub).is_over)
        wishes = [event for batch in messages(hub) for event in batch if isinstance(event, EndRequested)]
        assert (len(wishes), ends(hub)) == (1, 1)


async def test_deletes_race_with_the_claim_and_the_call_ends_once() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        for number in range(30):
            name = f"c{number}"
            await node.place(requested(name))
            for _ in range(number % 10):
                await asyncio.sleep(0)
            await end(node.bus, await known(hub, name), name=name)
        await until(lambda: all(on_bus(hub, f"c{number}").is_over for number in range(30)))
        assert all(ends(hub, f"c{number}") == 1 for number in range(30))
        assert phones.busy() == []
        await until(lambda: node.owner.active == 0)


async def test_deletes_race_with_the_end_and_are_always_answered() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        for number in range(30):
            name = f"c{number}"
            await node.place(requested(name))
            await until(lambda name=name: on_bus(hub, name).state is CallState.CONNECTED)  # type: ignore[misc] # bound in the loop
            call = await known(hub, name)
            phones.of(f"s-{name}", "o1").hang_up()
            for _ in range(number % 15):
                await asyncio.sleep(0)
            async with asyncio.timeout(1):
                await end(node.bus, call, name=name)
        await until(lambda: all(on_bus(hub, f"c{number}").is_over for number in range(30)))
        assert all(ends(hub, f"c{number}") == 1 for number in range(30))


# --- the owner is away ---


async def test_an_owner_that_is_away_makes_503_and_changes_nothing() -> None:
    phones, hub = new_phones(), MemoryHub()
    node = await EngineNode(phones, hub).start()
    await node.place(requested())
    await until(lambda: on_bus(hub).state is CallState.CONNECTED)
    await node.kill()
    before = len(messages(hub))
    with pytest.raises(CallError) as refused:
        await end(MemoryBus(hub), await known(hub))
    assert (refused.value.refusal, refused.value.code) == (Refusal.UNAVAILABLE, "owner-away")
    assert refused.value.retry_after_s
    assert len(messages(hub)) == before
    async with running(phones, hub):
        await end(MemoryBus(hub), await known(hub))
        await until(lambda: on_bus(hub).is_over)


async def test_an_owner_that_never_answers_makes_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT_S", 0.02)
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        hub.handlers[NODE] = lambda _payload: asyncio.sleep(60, b"")
        with pytest.raises(CallError, match="does not answer"):
            await end(node.bus, await known(hub))


async def test_an_owner_without_the_call_makes_503_after_a_few_looks() -> None:
    phones, hub = new_phones(), MemoryHub()
    bus = MemoryBus(hub)
    first = await bus.create_call(DOMAIN, CallId("c1"), [requested()])
    await bus.append_call(DOMAIN, CallId("c1"), [CallClaimed(NODE, 1, START)], after=first)
    hub.waiting.clear()
    node = EngineNode(phones, hub)
    node.owner._serving = [asyncio.create_task(node.bus.serve_commands(NODE, node.owner._on_command))]
    await settled()
    with pytest.raises(CallError) as refused:
        await end(bus, await known(hub))
    assert refused.value.code == "owner-away"
    await node.kill()


async def test_the_wish_is_not_confirmed_before_it_is_stored() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        call = await known(hub)
        hub.is_up = False
        ending = asyncio.create_task(node.owner._on_command(encode_command(_command())))
        await settled()
        assert not ending.done()
        assert phones.busy() == [], "what can be done without the bus is done"
        hub.is_up = True
        assert decode_answer(await ending).running
        await until(lambda: on_bus(hub).is_over)
        assert call.call_id == "c1"


async def test_a_deposed_owner_never_says_that_the_wish_is_stored() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        last = (await known(hub)).sequence
        await MemoryBus(hub).append_call(DOMAIN, CallId("c1"), [CallClaimed(NodeId("n2"), 2, START)], after=last)
        answers = await asyncio.gather(*(node.owner._on_command(encode_command(_command())) for _ in range(5)))
        assert [decode_answer(answer).running for answer in answers] == [False] * 5


def _command() -> EndCommand:
    return EndCommand(DOMAIN, "c1", "key-1")


# --- DELETE before POST ---


async def test_a_name_that_no_call_has_is_404_and_barred_for_a_day() -> None:
    hub = MemoryHub()
    with pytest.raises(CallError) as refused:
        await end(MemoryBus(hub), None, name="early")
    assert refused.value.refusal is Refusal.NOT_FOUND
    assert messages(hub, "early") == [[CallBarred(DOMAIN, requested().user, CallId("early"), START, START + BAR_S)]]
    with pytest.raises(CallError):
        await end(MemoryBus(hub), None, name="early")
    with pytest.raises(CallError):
        await end(MemoryBus(hub), on_bus(hub, "early"), name="early")
    assert len(messages(hub, "early")) == 1, "DELETE again is 404 again and stores nothing"


async def test_a_call_that_the_replica_does_not_know_yet_is_ended() -> None:
    hub = MemoryHub()
    bus = MemoryBus(hub)
    await bus.create_call(DOMAIN, CallId("c1"), [requested()])
    await end(bus, None)
    assert on_bus(hub).release == release.DELETED


async def test_another_users_call_is_404_and_goes_on() -> None:
    phones: MemoryPhones = new_phones()
    hub = MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        for call in (None, await known(hub)):
            with pytest.raises(CallError) as refused:
                await end(node.bus, call, user="1003")
            assert refused.value.refusal is Refusal.NOT_FOUND
        await settled()
        assert on_bus(hub).state is CallState.CONNECTED


async def test_whoever_is_called_ends_it_too() -> None:
    phones: MemoryPhones = new_phones()
    hub = MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        await end(node.bus, None, user="1002")
        await until(lambda: on_bus(hub).is_over)
        assert phones.busy() == []


async def test_delete_without_the_bus_is_503() -> None:
    hub = MemoryHub()
    hub.is_up = False
    for call in (None, requested_call()):
        with pytest.raises(BusUnavailable) as refused:
            await end(MemoryBus(hub), call)
        assert refused.value.refusal is Refusal.UNAVAILABLE
