"""Whether those who act are still good: the key, login or user behind a token, and behind what a token has made.

All of it is read from the local copy: what is revoked on one node is void on another as soon as the bus has brought it
there. What is void stays void, but for a user whose account is not active: that can change again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.ports import Bus, Clock
from ringbridge.model.access import ANY
from ringbridge.model.accounts import Credential
from ringbridge.model.actors import Actor
from ringbridge.model.directory import ApiKey, Subscription, User
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.keys import KEY_ID_LENGTH
from ringbridge.model.tokens import reaches_over

NOT_ACTIVE_CODE: Final = "account-not-active"


class Void(StrEnum):
    """Why somebody is good for nothing any more, as it is told."""

    KEY_REVOKED = "the API key was revoked"
    KEY_EXPIRED = "the API key has expired"
    USER_GONE = "the user is gone"
    LOGINS_ENDED = "the logins of the user were ended, or the password was changed"
    REVOKED = "the token or its login was revoked"
    NOT_ACTIVE = "the account of the user is not active"

    @property
    def is_final(self) -> bool:
        return self is not Void.NOT_ACTIVE


def not_active(user: User, refusal: Refusal = Refusal.UNAUTHENTICATED) -> CallError:
    """Return the refusal of a user whose account is not active."""
    return CallError(
        refusal, NOT_ACTIVE_CODE, f"this account is not active: its account-status is {user.account_status}"
    )


def actors_behind(one: Subscription) -> tuple[Actor, ...]:
    """Return who has to stay good for a subscription; of one of an earlier version, the API key that made it."""
    if one.actors or len(one.holder_key_id) != KEY_ID_LENGTH:
        return one.actors
    return (Actor(sub=one.holder_domain, key_id=one.holder_key_id),)


class Standing:
    """Says why an actor is void."""

    def __init__(self, *, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    async def why_silent(self, one: Subscription) -> tuple[Actor, Void] | None:
        """Return who behind a subscription is void, and why: nothing is sent then. None where all are good."""
        for actor in actors_behind(one):
            if (why := await self.why_void(actor)) is not None:
                return actor, why
        return None

    async def why_void(self, actor: Actor) -> Void | None:
        """Return why `actor` is good for nothing; None where it is good."""
        if actor.key_id:
            return await self._why_key(actor.key_id)
        name, _, domain = actor.sub.rpartition("@")
        why = await self._why_user(domain, name)
        if why is not None and why.is_final:
            return why
        credential = await self._directory.record("credential", (domain, name))
        if isinstance(credential, Credential) and credential.epoch > actor.epoch:
            return Void.LOGINS_ENDED
        record = await self._directory.domain(domain)
        for reach in reaches_over(actor.sub, domain=domain, reseller=record.reseller if record else ""):
            for revoked in (actor.jti, actor.sid):
                if revoked and await self._directory.record("revocation", (revoked, reach)) is not None:
                    return Void.REVOKED
        return why

    async def is_sure(self, actor: Actor, why: Void, bus: Bus) -> bool:
        """Return whether `actor` is void as the bus has it too: what a copy lacks it may just not have yet."""
        if why not in (Void.KEY_REVOKED, Void.USER_GONE):
            return True
        name, _, domain = actor.sub.rpartition("@")
        if actor.key_id:
            stored = await bus.read_record("apikey", (actor.key_id,))
            if stored is None or not isinstance(stored.record, ApiKey):
                return True
            domain, name = stored.record.domain, stored.record.user
            if name == ANY:
                return False
        has_user = await bus.read_record("user", (domain, name)) is not None
        return not has_user or await bus.read_record("domain", (domain,)) is None

    async def _why_key(self, key_id: str) -> Void | None:
        key = await self._directory.api_key(key_id)
        if key is None:
            return Void.KEY_REVOKED
        if 0 < key.expires_at <= self._clock.now():
            return Void.KEY_EXPIRED
        return None if key.user == ANY else await self._why_user(key.domain, key.user)

    async def _why_user(self, domain: str, user: str) -> Void | None:
        found = await self._directory.user(domain, user)
        if found is None or await self._directory.domain(domain) is None:
            return Void.USER_GONE
        return None if found.is_active else Void.NOT_ACTIVE
