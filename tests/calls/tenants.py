"""A directory with a bit of everything, and a placer over it."""

from __future__ import annotations

import msgspec

from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.calls.draft import PlaceSettings
from ringbridge.calls.place import Placed, Placer
from ringbridge.model.access import Principal, Scope
from ringbridge.model.directory import Connection, Device, DialRule, Domain, Location, PhoneNumber, User
from ringbridge.model.errors import CallError
from ringbridge.model.events import CallPlan, CallRequest, CallRequested
from tests.calls.nodes import messages
from tests.calls.samples import DOMAIN, NODE, START, CountedIds, VirtualClock

OWN_KEY = Principal(key_id="k1", domain=DOMAIN, user="1001", scope=Scope.BASIC_USER)
OFFICE_KEY = Principal(key_id="k2", domain=DOMAIN, user="*", scope=Scope.OFFICE_MANAGER)


def location(device: str, *, contact: str = "", peer_host: str = "10.0.0.1", **fields: object) -> Location:
    return Location(
        domain=DOMAIN,
        device=device,
        contact=contact or f"sip:{device}@10.0.0.1:5062",
        expires_at=START + 3600,
        peer_host=peer_host,
        peer_port=5062,
        **fields,  # type: ignore[arg-type] # a location's own
    )


def dial_rule(pattern: str, application: str, *, plan: str = DOMAIN, **fields: str) -> DialRule:
    return DialRule(
        domain=DOMAIN,
        dial_rule_dial_plan=plan,
        dialrule=pattern,
        dail_rule_matching_to_uri=pattern,
        dial_rule_application=application,
        **fields,  # type: ignore[arg-type] # a rule's own
    )


class Tenant:
    """One domain, its store, and a placer on a bus."""

    def __init__(self, hub: MemoryHub | None = None, *, settings: PlaceSettings | None = None) -> None:
        self.hub = hub or MemoryHub()
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.store.put(
            Domain(domain=DOMAIN, caller_id_number="+4570101000", caller_id_name="Demo"),
            User(domain=DOMAIN, user="1001", name_first_name="Ann", caller_id_number="+4570101010"),
            User(domain=DOMAIN, user="1002", caller_id_name="Bob", ring_no_answer_timeout_seconds=25),
            User(domain=DOMAIN, user="1003"),
            User(domain=DOMAIN, user="1004"),
            Device(domain=DOMAIN, user="1001", device="1001"),
            Device(domain=DOMAIN, user="1001", device="1001_mobile", device_models_model="Yealink T46"),
            Device(domain=DOMAIN, user="1002", device="1002"),
            Device(domain=DOMAIN, user="1004", device="1004"),
            PhoneNumber(domain=DOMAIN, phonenumber="4570101020"),
            PhoneNumber(domain=DOMAIN, phonenumber="4570101021", user="1002"),
            PhoneNumber(domain=DOMAIN, phonenumber="4570101022", enabled="no"),
            Connection(domain=DOMAIN, connection_orig_match_pattern="trunk", connection_address="sip:gw.example:5080"),
            Connection(
                domain=DOMAIN,
                connection_orig_match_pattern="off",
                connection_address="gw.example",
                connection_term_enabled="no",
            ),
        )
        self.move(0.0)
        self.ids = CountedIds()
        self.placer = Placer(
            bus=MemoryBus(self.hub),
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            node=NODE,
            settings=settings or PlaceSettings(),
        )

    def move(self, seconds: float) -> None:
        """Let time pass; the phones register again meanwhile."""
        self.clock.at += seconds
        for device in ("1001", "1001_mobile", "1002"):
            fresh = msgspec.structs.replace(location(device), expires_at=self.clock.at + 3600)
            self.store.put_location(fresh)

    def with_rules(self, *rules: DialRule) -> Tenant:
        self.store.put(*rules)
        return self

    async def place(self, principal: Principal = OWN_KEY, **fields: str | bool) -> Placed:
        return await self.placer.place(request(**fields), principal)

    async def plan(self, principal: Principal = OWN_KEY, **fields: str | bool) -> CallPlan:
        """Place a call and return what was stored of it."""
        placed = await self.place(principal, **fields)
        first = messages(self.hub, placed.call_id)[0][0]
        assert isinstance(first, CallRequested)
        return first.plan

    async def refused(self, principal: Principal = OWN_KEY, **fields: str | bool) -> CallError:
        """Return the refusal of a call; nothing may be stored of it."""
        try:
            placed = await self.place(principal, **fields)
        except CallError as refusal:
            assert messages(self.hub) == []
            return refusal
        raise AssertionError(f"accepted: {placed}")


def request(**fields: str | bool) -> CallRequest:
    """Return a request of 1001 to 1002."""
    base: dict[str, str | bool] = {"domain": DOMAIN, "user": "1001", "call_id": "c1", "call_term_user": "1002"}
    return CallRequest(**{**base, **fields})  # type: ignore[arg-type] # its own fields
