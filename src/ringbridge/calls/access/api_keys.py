"""API keys: made, listed, changed, revoked, and when they were used (contract §2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model.access import ANY, Principal
from ringbridge.model.accounts import KeyUse
from ringbridge.model.directory import ApiKey
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Fault, Refusal, invalid
from ringbridge.model.key_orders import KeyView, check_not_wider, key_view, read_order, read_update
from ringbridge.model.keys import hash_of, key_id_of, make_key, prefix_for

log = structlog.get_logger(__name__)

USE_KEPT_FOR_S: Final = 3600.0
"""`lastused-datetime` is right to the hour, as the API's own is: one write an hour and key, whatever the load."""
FLUSH_EVERY_S: Final = 30.0
"""Uses of the last so many seconds are what a crash forgets, at the most."""


class KeyUses:
    """Notes when keys are used, and writes it now and then."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def seen(self, key_id: str) -> None:
        """Note that a key is used now; costs no I/O."""
        self._seen[key_id] = self._clock.now()

    async def used_at(self, key_id: str) -> float:
        """Return when a key was last used, epoch seconds; 0: never."""
        stored = await self._store.record("keyuse", (key_id,))
        known = stored.used_at if isinstance(stored, KeyUse) else 0.0
        return max(known, self._written.get(key_id, 0.0), self._seen.get(key_id, 0.0))

    async def flush(self) -> None:
        """Write what is an hour newer than what is stored; what the bus does not take now waits."""
        seen, self._seen = self._seen, {}
        for key_id, at in seen.items():
            stored = await self._store.record("keyuse", (key_id,))
            known = stored.used_at if isinstance(stored, KeyUse) else 0.0
            before = max(known, self._written.get(key_id, 0.0))
            if at - before < USE_KEPT_FOR_S:
                continue
            try:
                await self._bus.put_record(KeyUse(key_id=key_id, used_at=at))
                self._written[key_id] = at
            except BusUnavailable:
                self._seen.setdefault(key_id, at)

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()


def no_such_key(key_id: str) -> CallError:
    """Return the 404 of a key: the same whether it is missing or somebody else's."""
    return CallError(Refusal.NOT_FOUND, "no-such-key", f"no API key {key_id}")


class ApiKeys:
    """The keys that a token rules over."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, random_part: Callable[[], str], uses: KeyUses) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random_part = random_part
        self._uses = uses

    async def create(self, raw: Mapping[str, object], maker: Principal) -> tuple[KeyView, int]:
        """Make a key and return it with its text, which is told this once, and the bus sequence.

        Raises:
            CallError: 400 for faults, 403 where it would reach further than `maker`, 503.
        """
        if not maker.can_create_keys:
            raise CallError(Refusal.FORBIDDEN, "may-not-create-keys", "this token may not create keys")
        order = read_order(raw, maker)
        order = check_not_wider(order, maker, reseller=await self._reseller_of(order.domain))
        if order.domain != ANY and await self._store.domain(order.domain) is None:
            raise invalid([Fault("domain", "no-such-domain", "there is no such domain", found=order.domain)])
        if order.user != ANY and await self._store.user(order.domain, order.user) is None:
            raise invalid([Fault("user", "no-such-user", "there is no such user", found=order.user)])
        prefix = prefix_for(domain=order.domain, user=order.user, reseller=order.reseller)
        text = make_key(prefix, self._random_part())
        key = ApiKey(
            key_id=key_id_of(text),
            key_sha256=hash_of(text),
            description=order.description,
            domain=order.domain,
            user=order.user,
            reseller=order.reseller,
            user_scope=order.user_scope,
            ip_address=order.ip_address,
            readonly=order.readonly,
            can_create_keys=order.can_create_keys,
            allowed_models=order.allowed_models,
            created_at=self._clock.now(),
            expires_at=order.expires_at,
        )
        sequence = await self._bus.put_record(key, only_new=True)
        log.info("api_key_created", key_id=key.key_id, domain=key.domain, user=key.user, by=maker.key_id)
        return key_view(key, used_at=0.0, text=text), sequence

    async def visible(self, principal: Principal) -> list[KeyView]:
        """Return the keys that `principal` rules over, its own among them, by key-id."""
        return [await self._view(one) for one in await self._seen(principal)]

    async def _seen(self, principal: Principal) -> list[ApiKey]:
        # A login of a reseller rules over other domains too, and any super user over all.
        in_one_domain = principal.domain != ANY and not principal.rules_reseller(ANY)
        found = await self._store.records("apikey", principal.domain if in_one_domain else None)
        return [one for one in found if isinstance(one, ApiKey) and await self._is_seen(one, principal)]

    async def count(self, principal: Principal) -> int:
        """Return how many keys `principal` rules over."""
        return len(await self._seen(principal))

    async def read(self, key_id: str, principal: Principal) -> KeyView:
        """Return one key.

        Raises:
            CallError: there is none that `principal` rules over.
        """
        return await self._view(await self._seen_key(key_id, principal))

    async def update(self, key_id: str, raw: Mapping[str, object], principal: Principal) -> int:
        """Change a key's description, addresses and models; return the bus sequence.

        Raises:
            CallError: 400, 403, 404 as `create`; 409 when it changed at the same time.
        """
        seen = await self._seen_key(key_id, principal)
        if not principal.can_create_keys:
            raise CallError(Refusal.FORBIDDEN, "may-not-create-keys", "this token may not change keys")
        stored = await self._bus.read_record("apikey", (key_id,))
        if stored is None or not isinstance(stored.record, ApiKey):
            raise no_such_key(key_id)
        changed = read_update(raw, stored.record, principal)
        if changed == stored.record:
            return 0
        try:
            return await self._bus.put_record(changed, revision=stored.revision)
        except Conflict as conflict:
            message = f"API key {seen.key_id} was changed at the same time; try again"
            raise CallError(Refusal.CONFLICT, "key-changed", message) from conflict

    async def revoke(self, key_id: str, principal: Principal) -> int:
        """Delete a key, also the token's own; return the bus sequence.

        Raises:
            CallError: there is none that `principal` rules over; 403 for others' without `can-create-keys`.
        """
        key = await self._seen_key(key_id, principal)
        if key.key_id != principal.key_id and not (principal.can_create_keys or principal.is_login):
            raise CallError(Refusal.FORBIDDEN, "may-not-create-keys", "this token may not revoke keys of others")
        sequence = await self._bus.delete_record("apikey", (key_id,))
        if await self._store.record("keyuse", (key_id,)) is not None:
            await self._bus.delete_record("keyuse", (key_id,))
        log.info("api_key_revoked", key_id=key_id, by=principal.key_id)
        return sequence

    async def _seen_key(self, key_id: str, principal: Principal) -> ApiKey:
        key = await self._store.api_key(key_id)
        if key is None or not await self._is_seen(key, principal):
            raise no_such_key(key_id)
        return key

    async def _is_seen(self, key: ApiKey, principal: Principal) -> bool:
        if key.key_id == principal.key_id:
            return True
        return principal.rules_key(key, reseller=await self._reseller_of(key.domain))

    async def _reseller_of(self, domain: str) -> str:
        record = None if domain == ANY else await self._store.domain(domain)
        return record.reseller if record else ""

    async def _view(self, key: ApiKey) -> KeyView:
        return key_view(key, used_at=await self._uses.used_at(key.key_id))
