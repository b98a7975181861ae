"""Tokens that are good now, and making them void on every node (contract §2).

A token is good while its signature and time hold, its user is there, the user's credential is still of its epoch, and
nobody who rules over its user has revoked it or the login that it belongs to. All of that is read from the local copy:
a revocation holds on a node as soon as the bus has brought it there. A delegated token is good only while the one that
it was made with is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ringbridge.calls.credentials import Credentials
from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.calls.signing import LONGEST_LIFE_S, Signer
from ringbridge.model.access import SYSTEM, Principal
from ringbridge.model.accounts import Revocation
from ringbridge.model.directory import Domain, User
from ringbridge.model.tokens import SKEW_S, Actor, Claims, Use, principal_of_claims, reach_of, reaches_over

MANY_SHORT: Final = 3600.0
"""Revocations that ran out are looked for at most once an hour."""


class Holder(NamedTuple):
    """A token that is good: its claims, and who and where its user is."""

    claims: Claims
    user: User
    domain: Domain


class Tokens:
    """Reads tokens and revokes them."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, signer: Signer, credentials: Credentials) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._signer = signer
        self._credentials = credentials
        self._swept_at = 0.0

    async def holder(self, token: str, *, use: Use = Use.ACCESS) -> Holder | None:
        """Return what a good token for `use` says; None of any other."""
        claims = await self._signer.verify(token)
        if claims is None or claims.use is not use:
            return None
        user = await self._store.user(claims.domain, claims.user)
        domain = await self._store.domain(claims.domain)
        if user is None or domain is None:
            return None
        own = Actor(sub=claims.sub, jti=claims.jti, sid=claims.sid, epoch=claims.epoch)
        for one in (own, claims.act):
            if one is not None and not await self._stands(one):
                return None
        return Holder(claims, user, domain)

    async def principal(self, token: str) -> Principal | None:
        """Return who holds `token`; None when it is not good."""
        found = await self.holder(token)
        return None if found is None else principal_of_claims(found.claims, user=found.user, domain=found.domain)

    async def _stands(self, actor: Actor) -> bool:
        if actor.key_id:
            key = await self._store.api_key(actor.key_id)
            return key is not None and not 0 < key.expires_at <= self._clock.now()
        name, _, domain = actor.sub.rpartition("@")
        record = await self._store.domain(domain)
        if record is None or await self._store.user(domain, name) is None:
            return False
        if (await self._credentials.of(domain, name)).epoch > actor.epoch:
            return False
        for reach in reaches_over(actor.sub, domain=domain, reseller=record.reseller):
            for revoked in (actor.jti, actor.sid):
                if revoked and await self._store.record("revocation", (revoked, reach)) is not None:
                    return False
        return True

    async def revoke(self, name: str, principal: Principal) -> int:
        """Void the token or login called `name`, so far as `principal` rules over its user; return the sequence.

        Nobody learns whether there is such a token, and one of somebody else's stays good.
        """
        return await self._revoke(name, reach_of(principal))

    async def revoke_wholly(self, session_id: str) -> int:
        """Void a login, whosever it is."""
        return await self._revoke(session_id, reach_of(SYSTEM))

    async def _revoke(self, name: str, reach: str) -> int:
        expires_at = self._clock.now() + LONGEST_LIFE_S + SKEW_S
        await self._sweep()
        return await self._bus.put_record(Revocation(name=name, reach=reach, expires_at=expires_at))

    async def _sweep(self) -> None:
        """Delete revocations and logins that concern nothing any more, now and then."""
        now = self._clock.now()
        if now < self._swept_at + MANY_SHORT:
            return
        self._swept_at = now
        for kind in ("revocation", "loginsession"):
            for record in await self._store.records(kind):
                if 0 < getattr(record, "expires_at", 0.0) < now:
                    await self._bus.delete_record(kind, record.key)
