"""The story of one tenant, in which every operation of the API is asked: where the document's examples come from."""

from __future__ import annotations

import asyncio
import base64
import re
import string
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx

from ringbridge.adapters.exchanges.store import ExchangeSettings
from ringbridge.adapters.memory.engine import MemoryEngine
from ringbridge.adapters.memory.phones import ANSWERS, RINGS, MemoryPhones
from ringbridge.api.document.openapi import path_names
from ringbridge.api.document.operations import Operation
from ringbridge.calls.owner import Owner
from ringbridge.calls.recording_ports import Recording
from ringbridge.model.call import CallState
from ringbridge.model.directory import Domain, Location, Record
from ringbridge.model.ids import CallId, DomainName
from ringbridge.model.second_factor import code_at
from tests.adapters.receiver import receiving
from tests.api.logins import settle
from tests.api.test_call_control import in_state
from tests.api.world import NODE, World, running_world

Examples = dict[str, dict[str, dict[str, Any]]]
"""By operation, status and media type: what was answered."""

LETTERS: Final = string.ascii_letters + string.digits
AGENT: Final = "crm/3.1"
CALL: Final = "b7f9c2d4-click-1"
METRIC: Final = re.compile(
    r"(?m)^(?:# (?:HELP|TYPE) ringbridge_http_requests_total .*|.*_total{operation=\"make-call\".*)\n"
)
THREE_LEGS: Final = 3
STEP_S: Final = 0.25
"""Between requests."""


class Tenant(World):
    """A world with one empty domain, and keys that look like keys."""

    def put_directory(self) -> None:
        records: list[Record] = [Domain("demo", reseller="acme", description="The demo's own domain")]
        self.put(*records)

    def _random_part(self) -> str:
        digest = int.from_bytes(sha256(b"key %d" % next(self._key_numbers)).digest() * 2, "big")
        return "".join(LETTERS[digest // 62**place % 62] for place in range(48))

    def _random_bytes(self, size: int) -> bytes:
        return sha256(b"bytes %d" % next(self._key_numbers)).digest()[:size]


class Recorder:
    """Asks operations and keeps what they answer."""

    def __init__(self, world: World, phones: MemoryPhones, owner: Owner) -> None:
        self.world = world
        self.phones = phones
        self.owner = owner
        self.examples: Examples = {}
        self._operations: Mapping[str, Operation] = {one.name: one for one in world.operations}

    async def ask(
        self,
        name: str,
        status: int = 200,
        *,
        key: str | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        is_kept: bool = True,
        **names: Any,
    ) -> Any:
        """Ask an operation with the body of its own example; `names` are those in its path, `_` for `-`."""
        operation, world = self._operations[name], self.world
        world.clock.time += STEP_S
        known = {"domain": "demo", "user": "1001", "call-id": CALL}
        known |= {one.replace("_", "-"): value for one, value in names.items()}
        path = operation.path
        for one in path_names(path):
            path = path.replace("{" + one + "}", known[one])
        async with world.client(world.manager_key if key is None else key, address="192.0.2.7") as client:
            answer = await client.request(
                operation.method,
                path,
                json=operation.body_example if body is None else body,
                params=query,
                headers={"user-agent": AGENT, "accept": accept, "x-request-id": f"example-{name}"},
            )
        assert answer.status_code == status, (name, answer.status_code, answer.text)
        await settle(world)
        told = self._told(answer, accept)
        if is_kept:
            self.examples.setdefault(name, {}).setdefault(str(status), {}).setdefault(accept, told)
        return told

    @staticmethod
    def _told(answer: httpx.Response, accept: str) -> Any:
        if accept != "text/plain":
            return answer.json() if accept == "application/json" else answer.text
        return "".join(METRIC.findall(answer.text))

    async def both(self, create: str, delete: str, *, body: Mapping[str, Any] | None = None, **names: Any) -> Any:
        """Create something, delete it, and create it again, told at once."""
        own = body or self._operations[create].body_example
        assert isinstance(own, dict)
        key = names.pop("key", None)
        await self.ask(create, 202, key=key, body=own)
        await self.ask(delete, 202, key=key, query={"cascade": "yes"}, **names)
        return await self.ask(create, 200, key=key, body=own | {"synchronous": "yes"})

    async def listed(self, what: str, *, key: str | None = None, **names: Any) -> None:
        """List and count something."""
        await self.ask(f"list-{what}", key=key, query={"limit": "1"}, **names)
        await self.ask(f"count-{what}", key=key, **names)

    async def keep_recording(self) -> None:
        """Let the call have been recorded."""
        call = await self.world.store.call(DomainName("demo"), CALL)
        assert call is not None
        draft = self.world.recordings.draft("demo", CALL, call.session_id, int(call.joined_at * 1000))
        draft.write_bytes(bytes(192_044))
        recording = Recording(
            domain="demo",
            call_id=CALL,
            session_id=call.session_id,
            users=("1001", "1002"),
            requested_at=call.requested_at,
            began_at=call.joined_at,
            seconds=6.0,
            size=192_044,
            name=draft.stem,
        )
        self.world.recordings.keep(draft, recording)

    def register(self, *devices: str) -> None:
        """Let phones be registered."""
        for device in devices:
            self.world.store.put_location(
                Location(
                    domain="demo",
                    device=device,
                    contact=f"sip:{device}@192.0.2.10:5060",
                    expires_at=self.world.clock.now() + 3600,
                    registered_at=self.world.clock.now(),
                    node=NODE,
                    user_agent="Softphone 5.2",
                    peer_host="192.0.2.10",
                    peer_port=5060,
                )
            )


@asynccontextmanager
async def recorder(folder: Path) -> AsyncIterator[Recorder]:
    """Yield a recorder over a tenant whose phones answer at once; `folder` holds the request history."""
    kept = ExchangeSettings(path=folder / "requests.db", node="n1", kept_s=3600.0, most_kept=1000, body_bytes=4096)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_world(exchanges=kept, kind=Tenant))
        phones = MemoryPhones(world.clock)
        owner = Owner(node=NODE, bus=world.bus, store=world.store, engine=MemoryEngine(phones), clock=world.clock)
        await owner.start()
        stack.push_async_callback(owner.stop)
        yield Recorder(world, phones, owner)


async def told_story(one: Recorder) -> Examples:
    """Return what every operation answered."""
    await _directory(one)
    await _dial_plan(one)
    await _calls(one)
    await _events(one)
    await _keys_and_logins(one)
    await _requests(one)
    await _node(one)
    await one.keep_recording()
    await one.ask("list-domain-recordings")
    await one.ask("list-user-recordings")
    return one.examples


async def _directory(one: Recorder) -> None:
    root = one.world.super_key
    await one.both("create-domain", "delete-domain", key=root, domain="acme.example")
    await one.ask("update-domain", 202)
    await one.ask("read-domain")
    await one.ask("list-domains", key=root, query={"limit": "1"})
    await one.ask("count-domains", key=root)
    await one.ask("count-domain")
    await one.both("create-user", "delete-user")
    for user, first, last in (("1002", "Charles", "Babbage"), ("1003", "Mary", "Somerville")):
        names = {"user": user, "name-first-name": first, "name-last-name": last, "user-scope": "Basic User"}
        await one.ask("create-user", 202, body=names | {"email-address": f"{first.lower()}@acme.example"})
    await one.ask("update-user", 202)
    await one.ask("read-user")
    await one.listed("users")
    await one.both("create-device", "delete-device", device="1001_mobile")
    for user in ("1002", "1003"):
        await one.ask("create-device", 202, user=user, body={"device": f"{user}_desk"})
    one.register("1001_mobile", "1002_desk", "1003_desk")
    await one.ask("update-device", 202, device="1001_mobile", body={"auto-answer-enabled": "yes"})
    await one.ask("read-device", device="1001_mobile")
    await one.listed("devices")
    await one.both("create-phone-number", "delete-phone-number", phonenumber="4570102030")
    await one.ask("update-phone-number", 202, phonenumber="4570102030")
    await one.ask("read-phone-number", phonenumber="4570102030")
    await one.listed("phone-numbers")
    await one.listed("all-phone-numbers", key=root)
    await one.both("create-answer-rule", "delete-answer-rule", timeframe="Default")
    for name in ("Holiday", "Office hours", "*"):
        await one.ask("create-answer-rule", 202, body={"time-frame": name, "enabled": "yes", "is-active": True})
    await one.ask("update-answer-rule", 202, timeframe="Holiday")
    await one.ask("read-answer-rule", timeframe="Holiday")
    await one.ask("delete-answer-rule", 202, timeframe="Default")
    await one.ask("reorder-answer-rules", 202)
    await one.listed("answer-rules")


async def _dial_plan(one: Recorder) -> None:
    root = one.world.super_key
    name: dict[str, Any] = {"connection_orig_match_pattern": "carrier"}
    await one.both("create-connection", "delete-connection", **name)
    await one.ask("create-connection-of-any-domain", 202, key=root)
    await one.ask("delete-connection", 202, key=root, domain="acme.example", **name)
    example = {"connection-orig-match-pattern": "carrier", "domain": "acme.example", "synchronous": "yes"}
    await one.ask(
        "create-connection-of-any-domain",
        key=root,
        body=example | {"connection-address": "sip.carrier.example:5060"},
    )
    await one.ask("update-connection", 202, **name)
    await one.ask("read-connection", **name)
    await one.listed("connections")
    await one.listed("all-connections", key=root)
    plan: dict[str, Any] = {"dialplan": "demo"}
    rule = {"dail-rule-matching-to-uri": "sip:1NXXNXXXXXX@*", "dialrule": "long-distance"} | {
        "dial-rule-application": "to-connection",
        "dial-rule-parameter": "carrier",
        "dial-rule-translation-destination-user": "[*]",
    }
    await one.ask("create-dial-rule", 202, body=rule, **plan)
    await one.ask("delete-dial-rule", 202, dialrule="long-distance", **plan)
    await one.ask("create-dial-rule", 200, body=rule | {"synchronous": "yes"}, **plan)
    await one.ask("update-dial-rule", 202, dialrule="long-distance", **plan)
    await one.ask("read-dial-rule", dialrule="long-distance", **plan)
    await one.listed("dial-rules", **plan)
    await one.listed("dial-plans")
    await one.ask("test-dial-plan", query={"to": "12025550123", "from": "1001"}, **plan)


async def _is_handed_on(world: World, call_id: str) -> None:
    async with asyncio.timeout(5):
        while True:
            call = await world.store.call(DomainName("demo"), CallId(call_id))
            if call is not None and len(call.legs) == THREE_LEGS:
                return
            await asyncio.sleep(0.005)


async def _calls(one: Recorder) -> None:
    world, root = one.world, one.world.super_key
    first, second = "b7f9c2d4-click-9", "b7f9c2d4-click-0"
    await one.ask("make-call", 202, body={"call-id": first, "call-term-user": "1002"}, is_kept=False)
    await in_state(world, CallState.CONNECTED, first)
    await one.ask("transfer-call", 202, call_id=first)
    await _is_handed_on(world, first)
    await one.ask("end-call", 202, call_id=first, is_kept=False)
    await in_state(world, CallState.ENDED, first)
    one.phones.default = RINGS
    await one.ask("make-call", 202, body={"call-id": second, "call-term-user": "1002"}, is_kept=False)
    await in_state(world, CallState.ORIG_RINGING, second)
    await one.ask("reject-call", 202, call_id=second)
    await in_state(world, CallState.ENDED, second)
    await one.ask("make-call", 202)
    for state, leg in ((CallState.ORIG_RINGING, "o1"), (CallState.TERM_RINGING, "t1")):
        await in_state(world, state, CALL)
        world.clock.time += 2
        one.phones.of("session-3", leg).answer()
    await in_state(world, CallState.CONNECTED, CALL)
    one.phones.default = ANSWERS
    world.clock.time += 3
    await one.ask("read-call")
    for place, key in (("", root), ("domain-", None), ("user-", None)):
        await one.listed(f"{place}calls", key=key)
    await one.ask("hold-call", 202)
    await in_state(world, CallState.HELD, CALL)
    await one.ask("unhold-call", 202)
    await in_state(world, CallState.CONNECTED, CALL)
    await one.ask("act-on-call", 202)
    await in_state(world, CallState.HELD, CALL)
    await one.ask("act-on-call", 202, body={"action": "unhold"})
    await in_state(world, CallState.CONNECTED, CALL)
    world.clock.time += 6
    await one.ask("end-call", 202)
    await in_state(world, CallState.ENDED, CALL)
    await one.ask("read-call-ladder")
    await one.ask("read-call-cdr")
    for place, key in (("", root), ("domain-", None), ("user-", None)):
        await one.listed(f"{place}cdrs", key=key)
        await one.ask(f"list-{place}cdrs", key=key, accept="text/csv", query={"limit": "1"})
    await one.ask("list-domain-recordings", is_kept=False)
    await one.ask("list-user-recordings", is_kept=False)


async def _events(one: Recorder) -> None:
    async with receiving() as receiver:
        for place in ("", "domain-"):
            one_name = f"{place}subscription"
            made = await one.ask(f"create-{one_name}", 202)
            await one.ask(f"delete-{one_name}", 202, subscription_id=made["id"])
            body = {"model": "call", "post-url": "https://crm.example.com/calls", "synchronous": "yes"}
            made = await one.ask(f"create-{one_name}", 200, body=body)
            where: dict[str, Any] = {"subscription_id": made["id"]}
            await one.ask(f"update-{one_name}", 202, **where)
            await one.ask(f"read-{one_name}", **where)
            await one.listed(f"{one_name}s")
            await one.ask(f"update-{one_name}", 202, body={"post-url": receiver.url}, **where)
            tested = await one.ask(f"test-{one_name}", **where)
            await one.ask(f"resend-{place}delivery", delivery_id=tested["delivery-id"], **where)
            await one.ask(f"list-{place}deliveries", query={"limit": "1"}, **where)
            await one.ask(f"delete-{one_name}", 202, **where)
    await one.ask("follow-calls", accept="text/event-stream")


async def _keys_and_logins(one: Recorder) -> None:
    world, root = one.world, one.world.super_key
    made = await one.ask("create-apikey")
    name: dict[str, Any] = {"key_id": made["key-id"]}
    await one.ask("update-apikey", 202, **name)
    await one.ask("read-apikey", **name)
    await one.listed("apikeys")
    await one.ask("revoke-apikey", 202, **name)
    await one.ask("set-user-password", 202)
    tokens = [(await one.ask(login, key=""))["access_token"] for login in ("log-in", "log-in-legacy")]
    jwt = (await one.ask("make-jwt", key=""))["token"]
    told = await one.ask("read-jwt", key=jwt)
    await one.ask("revoke-own-jwt", 202, key=tokens[0])
    await one.ask("revoke-jwt", 202, jti=told["jti"])
    enrolled = await one.ask("enrol-user-mfa", key=tokens[1])
    await one.ask(
        "confirm-user-mfa", 202, key=tokens[1], body={"passcode": code_at(enrolled["secret"], world.clock.now())}
    )
    await one.ask("read-user-mfa", key=tokens[1])
    await one.ask("remove-user-mfa", 202)
    await one.ask("register-client", key=root)
    await one.ask("list-clients", key=root)
    await one.ask("remove-client", 202, key=root, client_id="crm")


async def _requests(one: Recorder) -> None:
    user = one.world.add_key("demo", "1001", "Basic User")
    await one.ask("make-call", 202, key=user, body={"call-id": "b7f9c2d4-click-3", "call-term-user": "1002"})
    found = await one.ask("list-requests", key=user, query={"limit": "1"})
    await one.ask("count-requests", key=user)
    await one.ask("read-request", key=user, id=found[0]["id"])
    await one.ask("resend-request", 202, key=user, id=found[0]["id"])
    # No engine runs any more, so that the answer tells the same at each run.
    await one.owner.stop()
    body = {"call-id": "b7f9c2d4-click-4", "call-term-user": "1002", "synchronous": "yes"}
    await one.ask("make-call", 200, key=user, body=body)
    found = await one.ask("list-requests", key=user, query={"operation": "make-call", "limit": "1"})
    await one.ask("resend-request", 200, key=user, id=found[0]["id"])


async def _node(one: Recorder) -> None:
    root = one.world.super_key
    for word, key in (("", root), ("domain-", None)):
        await one.listed(f"{word}audit", key=key)
    await one.ask("apply-directory", key=root, body=_document())
    await one.ask("export-directory", key=root)
    await one.ask("read-version", key="")
    await one.ask("check-alive", key="")
    await one.ask("check-ready", key="")
    one.world.ready = False
    await one.ask("check-ready", 503, key="")
    await one.ask("read-metrics", key="", accept="text/plain")


def _document() -> dict[str, Any]:
    password = base64.b64encode(b"a-long-secret").decode()
    device = {"device": "1004_desk", "device-sip-registration-password": password}
    keys = [{"description": "click-to-call of the CRM"}]
    user = {"user": "1004", "name-first-name": "Grace", "name-last-name": "Hopper", "devices": [device]}
    return {"domains": [{"domain": "hopper.example", "users": [user | {"api-keys": keys}]}]}


# --- comparing ---

MADE_ANEW: Final = frozenset(
    {
        "access_token",
        "apiversion",
        "backup-codes",
        "datetime",
        "delivery-id",
        "device-sip-registration-password",
        "duration-ms",
        "event-ids",
        "file-access-url",
        "id",
        "jti",
        "refresh_token",
        "secret",
        "token",
        "uri",
    }
)
"""What differs from run to run, by name."""
MADE: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=id: )\S+|test_[0-9a-f]{16}")
"""What differs wherever it stands: a UUID, the id of an event, of a test's delivery."""


def differences(example: object, told: object, at: str = "") -> Iterator[str]:
    """Yield where an example is not what was told: other names, types, lengths, or values that stay the same."""
    name = at.rpartition("/")[2]
    if isinstance(example, dict) and isinstance(told, dict):
        for key in example.keys() ^ told.keys():
            yield f"{at}/{key}: is {'not told' if key in example else 'missing'}"
        for key in example.keys() & told.keys():
            yield from differences(example[key], told[key], f"{at}/{key}")
    elif isinstance(example, list) and isinstance(told, list):
        if len(example) != len(told):
            yield f"{at}: {len(example)} of {len(told)}"
        for one, other in zip(example, told, strict=False):
            yield from differences(one, other, at)
    elif type(example) is not type(told):
        yield f"{at}: {example!r} for {told!r}"
    elif isinstance(example, str) and isinstance(told, str):
        if name not in MADE_ANEW and MADE.sub("…", example) != MADE.sub("…", told):
            yield f"{at}: {example!r} for {told!r}"
    elif name not in MADE_ANEW and example != told:
        yield f"{at}: {example!r} for {told!r}"
