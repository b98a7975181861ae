"""The audit trail: every change over the API is in it, and everybody reads what is theirs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ringbridge.adapters.memory_bus import Entry
from ringbridge.adapters.nats_bus_subjects import Stream, record_of
from ringbridge.api.operations import Operation
from ringbridge.model.audit import NOT_RECORDED, AuditEntry
from tests.api.walk import path_of
from tests.api.world import World

ALL: Final = "/ringbridge/v1/audit"
OF_DEMO: Final = "/ringbridge/v1/domains/demo/audit"
USERS: Final = "/ns-api/v2/domains/demo/users"
ORDER: Final = ("POST", "PUT", "PATCH", "DELETE")
CHANGES_NO_RECORD: Final = frozenset(
    {"make-call", "end-call", "hold-call", "unhold-call", "test-subscription", "test-domain-subscription"}
)
"""Operations that accept something, and of which the call's own events say who did it."""
CHANGES: Final[dict[str, dict[str, str]]] = {
    "update-device": {"auto-answer-enabled": "yes"},
    "update-connection": {"connection-address": "sip2.carrier.example:5060"},
}
"""What updates name beside their examples, which would leave the record as it is."""
EXAMPLE_SUBSCRIPTION: Final = "9f2c1b7d6a504e3f8c2d1a0b"


async def ask(world: World, operation: Operation, subscription: str) -> dict[str, Any] | None:
    """Call an operation with its example, deleting what uses what it deletes; return its answer if it was accepted."""
    path = path_of(operation, domain="demo", user="1001").replace(EXAMPLE_SUBSCRIPTION, subscription)
    cascade = {"cascade": "yes"} if any(field.name == "cascade" for field in operation.query) else {}
    body = operation.body_example
    if isinstance(body, dict):
        body = body | CHANGES.get(operation.name, {})
    async with world.client(world.super_key) as client:
        answer = await client.request(operation.method, path, params=cascade, json=body)
    return answer.json() if answer.status_code in (200, 202) else None


def unpaired(entries: list[Entry]) -> list[str]:
    """Return the subjects of changes that have no audit entry right before them."""
    lonely = []
    for place, entry in enumerate(entries):
        kind, key = record_of(entry.subject)
        if kind in NOT_RECORDED:
            continue
        before = entries[place - 1] if place else None
        told = None
        if before is not None and record_of(before.subject)[0] == "audit":
            told = msgspec.json.decode(before.payload, type=AuditEntry)
        if told is None or (told.of, told.of_key) != (kind, key):
            lonely.append(entry.subject)
    return lonely


async def test_every_writing_operation_leaves_an_entry_for_each_record_that_it_changes(world: World) -> None:
    """Each is called until its example finds what it needs: what exists is deleted in the first round."""
    stream = world.hub.streams[Stream.DIRECTORY]
    ends = ("delete-domain", "apply-directory")  # with them goes what the others need
    writing = [one for one in world.operations if one.writes and one.name not in ends]
    writing.sort(key=lambda one: (ORDER.index(one.method), one.path.count("/") * (-1 if one.method == "DELETE" else 1)))
    last = [one for one in world.operations if one.name in ends]
    changed: set[str] = set()
    silent: set[str] = set()
    subscription = EXAMPLE_SUBSCRIPTION
    for operation in (*writing, *writing, *last):
        start = len(stream.entries)
        answer = await ask(world, operation, subscription)
        new = stream.entries[start:]
        assert unpaired(new) == [], operation.name
        if any(record_of(one.subject)[0] == "audit" for one in new):
            changed.add(operation.name)
        elif answer is not None and all(record_of(one.subject)[0] not in NOT_RECORDED for one in new):
            silent.add(operation.name)
        if answer and operation.name in ("create-subscription", "create-domain-subscription"):
            subscription = str(answer["id"])
    assert silent - changed <= CHANGES_NO_RECORD
    nouns = ("domain", "user", "device", "phone-number", "dial-rule", "connection", "answer-rule", "subscription")
    assert {f"create-{noun}" for noun in nouns} <= changed
    # Examples of one resource do not always name each other's; the skeleton of updates and deletes is one for all.
    assert {f"{verb}-{noun}" for noun in ("domain", "user", "device") for verb in ("update", "delete")} <= changed
    assert {"update-subscription", "delete-domain-subscription", "delete-connection"} <= changed
    assert "apply-directory" in changed


async def test_an_entry_tells_who_from_where_what_and_which_fields_and_no_secret(world: World) -> None:
    async with world.client(world.manager_key, address="192.0.2.7") as manager:
        headers = {"user-agent": "crm/3.1", "x-request-id": "ticket-4711"}
        body = {"device": "1001_new", "device-sip-registration-password": "a-very-long-secret"}
        assert (await manager.post(f"{USERS}/1001/devices", json=body, headers=headers)).status_code == 202
        change = {"device-sip-registration-password": "another-long-secret", "auto-answer-enabled": "yes"}
        world.clock.time += 60
        answer = await manager.put(f"{USERS}/1001/devices/1001_new", json=change, headers=headers)
        assert answer.status_code == 202
        answer = await manager.get(OF_DEMO)
    changed, made = answer.json()
    assert changed == {
        "id": changed["id"],
        "datetime": "2027-01-15T08:01:00+00:00",
        "action": "update",
        "kind": "device",
        "key": ["demo", "1001_new"],
        "domain": "demo",
        "fields": changed["fields"],
        "by-key-id": changed["by-key-id"],
        "by-domain": "demo",
        "by-user": "*",
        "by-address": "192.0.2.7",
        "by-user-agent": "crm/3.1",
        "operation": "update-device",
        "request-id": "ticket-4711",
    }
    assert "auto-answer-enabled" in changed["fields"]
    assert "device-sip-registration-password" in changed["fields"]
    assert (made["action"], made["operation"], made["fields"]) == ("create", "create-device", [])
    assert world.manager_key.startswith(changed["by-key-id"]) or changed["by-key-id"] in world.manager_key
    assert "secret" not in answer.text
    assert world.manager_key not in answer.text


async def test_a_refused_change_leaves_nothing(world: World) -> None:
    async with world.client(world.manager_key) as manager:
        new = next(one.body_example for one in world.operations if one.name == "create-user")
        assert (await manager.post(USERS, json=new)).status_code == 409
        assert (await manager.put(f"{USERS}/1009", json={"name-first-name": "Eva"})).status_code == 404
        assert (await manager.put(f"{USERS}/1001", json={"name-first-name": "Ada"})).status_code == 202  # as it is
        assert (await manager.get(f"{OF_DEMO}/count")).json() == {"total": 0}


async def test_everybody_sees_the_changes_of_what_is_theirs(world: World) -> None:
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")  # of domain `other`
    async with world.client(world.super_key) as above:
        for domain in ("demo", "other"):
            world.clock.time += 1
            path = f"/ns-api/v2/domains/{domain}/users/1001"
            assert (await above.put(path, json={"name-first-name": domain})).status_code == 202
        assert [one["domain"] for one in (await above.get(ALL)).json()] == ["other", "demo"]
        assert (await above.get("/ringbridge/v1/domains/nowhere/audit")).status_code == 404
    async with world.client(reseller) as theirs:
        assert [one["domain"] for one in (await theirs.get(ALL)).json()] == ["other"]
        assert (await theirs.get(f"{ALL}/count")).json() == {"total": 1}
        assert (await theirs.get(OF_DEMO)).status_code == 404
    async with world.client(world.manager_key) as manager, world.client() as user:
        assert [one["domain"] for one in (await manager.get(OF_DEMO)).json()] == ["demo"]
        assert (await manager.get(ALL)).status_code == 403
        assert (await user.get(OF_DEMO)).status_code == 403


async def test_the_trail_is_paged_newest_first_and_narrowed_by_kind(world: World) -> None:
    async with world.client(world.manager_key) as manager:
        for number in range(5):
            world.clock.time += 1
            await manager.put(f"{USERS}/1001", json={"name-first-name": f"Ada {number}"})
        world.clock.time += 1
        await manager.put("/ns-api/v2/domains/demo", json={"description": "changed"})
        found = await manager.get(OF_DEMO, params={"start": 2, "limit": 2})
        assert [one["kind"] for one in found.json()] == ["user", "user"]
        assert found.headers["x-total-count"] == "6"
        times = [one["datetime"] for one in (await manager.get(OF_DEMO)).json()]
        assert times == sorted(times, reverse=True)
        assert (await manager.get(f"{OF_DEMO}/count", params={"kind": "domain"})).json() == {"total": 1}
        assert [one["kind"] for one in (await manager.get(OF_DEMO, params={"kind": "domain"})).json()] == ["domain"]
        wrong = await manager.get(OF_DEMO, params={"kind": "audit"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "kind")
