"""Tokens that are good now, and making them void on every node (contract §2).

A token is good while its signature and time hold, its user is there with an active account, the user's credential is
still of its epoch, and nobody who rules over its user has revoked it or the login that it belongs to
(`calls.access.standing`). A delegated token is good only while the one that it was made with is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ringbridge.calls.access.signing import LONGEST_LIFE_S, Signer
from ringbridge.calls.access.standing import Standing, Void, not_active
from ringbridge.calls.directory.audit import unrecorded
from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model.access import SYSTEM, Principal
from ringbridge.model.accounts import Revocation
from ringbridge.model.actors import Actor
from ringbridge.model.directory import Domain, User
from ringbridge.model.tokens import SKEW_S, Claims, Use, principal_of_claims, reach_of

MANY_SHORT: Final = 3600.0
"""Revocations that ran out are looked for at most once an hour."""


class Holder(NamedTuple):
    """A token that is good: its claims, and who and where its user is."""

    claims: Claims
    user: User
    domain: Domain


class Tokens:
    """Reads tokens and revokes them."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, signer: Signer) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._signer = signer
        self._standing = Standing(directory=store, clock=clock)
        self._swept_at = 0.0

    async def holder(self, token: str, *, use: Use = Use.ACCESS) -> Holder | None:
        """Return what a good token for `use` says; None of any other.

        Raises:
            CallError: it would be good if its user's account were active (401).
        """
        claims = await self._signer.verify(token)
        if claims is None or claims.use is not use:
            return None
        user = await self._store.user(claims.domain, claims.user)
        domain = await self._store.domain(claims.domain)
        if user is None or domain is None:
            return None
        if claims.act is not None and await self._standing.why_void(claims.act) is not None:
            return None
        why = await self._standing.why_void(Actor(sub=claims.sub, jti=claims.jti, sid=claims.sid, epoch=claims.epoch))
        if why is Void.NOT_ACTIVE:
            raise not_active(user)
        return Holder(claims, user, domain) if why is None else None

    async def principal(self, token: str) -> Principal | None:
        """Return who holds `token`; None when it is not good.

        Raises:
            CallError: as `holder`.
        """
        found = await self.holder(token)
        return None if found is None else principal_of_claims(found.claims, user=found.user, domain=found.domain)

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
        with unrecorded():
            for kind in ("revocation", "loginsession"):
                for record in await self._store.records(kind):
                    if 0 < getattr(record, "expires_at", 0.0) < now:
                        await self._bus.delete_record(kind, record.key)
