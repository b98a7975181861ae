"""Subscriptions: who may make, see and change them (contract §5). What is delivered is `adapters.webhooks`' to do.

A subscription belongs to whom its maker's token was for: everything, a reseller, a domain, or a user. Whoever rules
over that holder sees and changes it; a user's token therefore sees only its own. What it asks for with `*` is resolved
to what the token rules over when it is made, so that it can never tell more than its maker could read. It ends with
what it was made with: a key that is revoked or expires, a login that ends, a user who goes (`calls.access.standing`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ringbridge.calls.access.standing import Standing
from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model.access import ANY, SCOPES, Principal, Scope
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import CallError, Conflict, Fault, Refusal, invalid
from ringbridge.model.subscriptions import SubscriptionOrder
from ringbridge.model.tokens import actors_of
from ringbridge.model.wire import shown

FOREVER_S = 20 * 365.25 * 86_400
"""What contract §5 gives to a subscription that an API key made."""
ATTEMPTS = 8
"""Of an update that others cut in front of."""
AT_MOST = 100
"""Subscriptions of one holder: each is read and delivered by itself, so they have to be few."""


class Stored(msgspec.Struct, frozen=True):
    """A subscription that was written, and the sequence under which the bus has it."""

    subscription: Subscription
    sequence: int


_Wrong: TypeAlias = list[tuple[Refusal, Fault]]
"""What is wrong with an order, and what each alone would be refused as."""


class _Holder(msgspec.Struct, frozen=True):
    """Whom a token is for."""

    domain: str = ANY
    user: str = ANY
    reseller: str = ANY


def _not_allowed(message: str) -> CallError:
    return CallError(Refusal.FORBIDDEN, "not-allowed", message)


def _not_yours(field: str, found: str, *, allowed: str) -> Fault:
    message = f"this token may not act for another {field}"
    return Fault(field, "not-allowed", message, found=shown(found), allowed=allowed)


def _too_wide(asked: Scope, ceiling: Scope) -> Fault:
    allowed = ", ".join(name for name, scope in SCOPES.items() if ceiling.reaches(scope))
    return Fault("user-scope", "scope-too-wide", "is wider than your own", found=asked.wire, allowed=allowed)


def _may_not_tell(model: str, principal: Principal) -> list[Fault]:
    """Return why `principal` may not have events of `model` sent: who may not read calls is not told of them either."""
    told = "cdr" if model == "cdr" else "call"
    if principal.may_use(told):
        return []
    message = f"takes {told} among the allowed-models of the token"
    return [Fault("model", "model-not-allowed", message, shown(model), ", ".join(sorted(principal.allowed_models)))]


def _domains_of(holder: _Holder) -> str:
    return f"{ANY} or one of reseller {holder.reseller}" if holder.domain == ANY else f"{holder.domain}, {ANY}"


def _refused(wrong: _Wrong) -> CallError:
    """Return one refusal of all that is wrong: of the kind of what is wrong for anybody, else of what is first."""
    faults = [fault for _, fault in wrong]
    refusals = [refusal for refusal, _ in wrong]
    if Refusal.INVALID in refusals:
        return invalid(faults)
    return CallError(refusals[0], faults[0].code, invalid(faults).message, faults=faults)


def _no_such_domain(domain: str) -> CallError:
    return CallError(Refusal.NOT_FOUND, "no-such-domain", f"no domain {shown(domain)}")


def no_such_subscription(name: str) -> CallError:
    """Return the 404 of a subscription: the same whether it is missing or another's."""
    return CallError(Refusal.NOT_FOUND, "no-such-subscription", f"no subscription {shown(name)}")


def _holder_of(principal: Principal) -> _Holder:
    """Return whom `principal` stands for.

    Raises:
        CallError: it rules over nobody.
    """
    if principal.is_super_user:
        return _Holder()
    if principal.rules_reseller(principal.reseller):
        return _Holder(reseller=principal.reseller)
    if principal.domain != ANY and principal.rules_domain(principal.domain):
        return _Holder(domain=principal.domain)
    if principal.user != ANY and principal.rules_user(principal.domain, principal.user):
        return _Holder(domain=principal.domain, user=principal.user)
    raise _not_allowed("this token may not have subscriptions")


class Subscriptions:
    """Makes, finds and changes subscriptions."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random_bytes = random_bytes
        self._standing = Standing(directory=store, clock=clock)

    async def create(self, order: SubscriptionOrder, principal: Principal, *, domain: str = "") -> Stored:
        """Make a subscription; `domain` is that of the path, empty where it has none.

        Raises:
            CallError: every fault of the order is named. 400 if it is wrong whoever asks, else 403 for a scope, a user
                or a reseller that is not the token's, or 404 for a domain; 409 when there are too many.
        """
        holder = _holder_of(principal)
        now = self._clock.now()
        wrong = [(Refusal.INVALID, fault) for fault in order.faults]
        scope = SCOPES[order.get("user-scope", principal.ceiling.wire)]
        if not principal.ceiling.reaches(scope):
            wrong.append((Refusal.FORBIDDEN, _too_wide(scope, principal.ceiling)))
        model = order.get("model", "call")
        wrong += [(Refusal.FORBIDDEN, fault) for fault in _may_not_tell(model, principal)]
        wanted = await self._wanted(order, holder, domain, wrong)
        if wrong:
            raise _refused(wrong)
        held = [one for one in await self._all() if _is_held_by(one, holder) and not one.ended]
        if len(held) >= AT_MOST:
            message = f"there are {AT_MOST} subscriptions already"
            fault = Fault("", "too-many-subscriptions", message, found=str(len(held)), allowed=f"at most {AT_MOST}")
            raise CallError(Refusal.CONFLICT, fault.code, message, faults=[fault])
        subscription = Subscription(
            id=self._random_bytes(12).hex(),
            model=model,
            post_url=order.get("post-url"),
            secret="whsec_" + base64.b64encode(self._random_bytes(32)).decode(),
            domain=wanted.domain,
            user=wanted.user,
            reseller=wanted.reseller,
            holder_domain=holder.domain,
            holder_user=holder.user,
            holder_reseller=holder.reseller,
            holder_key_id=principal.key_id,
            actors=actors_of(principal),
            user_scope=scope.wire,
            subscription_geo_support="no" if order.get("subscription-geo-support") == "no" else "yes",
            preferred_server=order.get("preferred-server"),
            created_at=now,
            expires_at=order.expires_at or principal.expires_at or now + FOREVER_S,
            since=await self._now(model),
        )
        return Stored(subscription, await self._bus.put_record(subscription, only_new=True))

    async def _now(self, model: str) -> tuple[int, ...]:
        calls = await self._bus.call_positions()
        return (await self._bus.presence_position(), *calls) if model == "presence" else calls

    async def _wanted(self, order: SubscriptionOrder, holder: _Holder, path_domain: str, wrong: _Wrong) -> _Holder:
        """Return whose events the subscription is for, `*` resolved; what is wrong with it is added to `wrong`."""
        domain, user, reseller = (order.get(name, ANY) for name in ("domain", "user", "reseller"))
        if path_domain:
            if domain not in (ANY, path_domain):
                message = "is not the domain of the path"
                fault = Fault("domain", "domain-mismatch", message, found=shown(domain), allowed=path_domain)
                wrong.append((Refusal.INVALID, fault))
            domain = path_domain
        if domain == ANY:
            domain = holder.domain
        has_domain = domain == ANY or await self._reaches(holder, domain)
        if not has_domain:
            allowed = (
                "a domain that is there" if holder == _Holder() else f"a domain of this token: {_domains_of(holder)}"
            )
            fault = Fault(
                "domain", "no-such-domain", "is no domain of this token", found=shown(domain), allowed=allowed
            )
            wrong.append((Refusal.NOT_FOUND, fault))
        if reseller == ANY:
            reseller = holder.reseller
        elif holder.reseller != reseller and holder != _Holder():
            wrong.append((Refusal.FORBIDDEN, _not_yours("reseller", reseller, allowed=holder.reseller)))
        if user == ANY:
            user = holder.user
        elif holder.user not in (ANY, user):
            wrong.append((Refusal.FORBIDDEN, _not_yours("user", user, allowed=f"{holder.user}, {ANY}")))
        elif domain == ANY:
            message = "needs a domain beside it"
            fault = Fault("user", "needs-a-domain", message, found=shown(user), allowed="a user beside its domain")
            wrong.append((Refusal.INVALID, fault))
        elif has_domain and await self._store.user(domain, user) is None:
            message, allowed = f"is no user of domain {domain}", f"a user of domain {domain}, {ANY}"
            wrong.append(
                (Refusal.NOT_FOUND, Fault("user", "no-such-user", message, found=shown(user), allowed=allowed))
            )
        return _Holder(domain, user, reseller)

    async def _reaches(self, holder: _Holder, domain: str) -> bool:
        """Return whether there is a domain that `holder` rules over, or is in."""
        if holder.domain != ANY:
            return holder.domain == domain
        record = await self._store.domain(domain)
        return record is not None and holder.reseller in (ANY, record.reseller)

    async def visible(self, principal: Principal, *, domain: str = "") -> list[Subscription]:
        """Return the subscriptions that `principal` sees, oldest first; with `domain` only those for it.

        Raises:
            CallError: there is no such domain.
        """
        holder = _holder_of(principal)
        if domain and await self._store.domain(domain) is None:
            raise _no_such_domain(domain)
        found = [one for one in await self._all() if domain in ("", one.domain) and await self._sees(holder, one)]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    async def one(self, name: str, principal: Principal, *, domain: str = "") -> Subscription:
        """Return the subscription called `name`.

        Raises:
            CallError: there is none that `principal` sees.
        """
        holder = _holder_of(principal)
        found = await self._store.subscription(name)
        if found is None or found.expires_at <= self._clock.now() or domain not in ("", found.domain):
            raise no_such_subscription(name)
        if not await self._sees(holder, found):
            raise no_such_subscription(name)
        return found

    async def why_silent(self, one: Subscription) -> str:
        """Return why nothing is sent for a subscription, though its receiver may be well; empty where it is."""
        if one.ended:
            return one.ended
        found = await self._standing.why_silent(one)
        return found[1].value if found else ""

    async def check_not_ended(self, one: Subscription) -> None:
        """Let pass a subscription for which something may be sent.

        Raises:
            CallError: who made it is good for nothing any more (409).
        """
        if why := await self.why_silent(one):
            message = f"this subscription is over: {why}; a PUT with a post-url takes it over"
            raise CallError(Refusal.CONFLICT, "subscription-ended", message)

    async def update(
        self,
        named: Subscription,
        order: SubscriptionOrder,
        principal: Principal,
        *,
        counted: tuple[int, int] = (0, 0),
    ) -> Stored:
        """Change what `order` names; `counted` are posts and errors so far. Another URL is a fresh start.

        One whose maker is good for nothing any more is taken over by `principal` then, and ends with that token.

        Raises:
            CallError: it was deleted meanwhile; or `principal` may not be told of its model (403).
        """
        taker = principal if "post-url" in order.texts and await self.why_silent(named) else None
        for _ in range(ATTEMPTS):
            stored = await self._bus.read_record("subscription", named.key)
            if stored is None or not isinstance(stored.record, Subscription):
                break
            after = _changed(stored.record, order, counted)
            if {"model", "post-url"} & set(order.texts) and (faults := _may_not_tell(after.model, principal)):
                raise _refused([(Refusal.FORBIDDEN, fault) for fault in faults])
            if taker is not None:
                after = _taken_over(after, taker, expires_at=order.expires_at)
            try:
                return Stored(after, await self._bus.put_record(after, revision=stored.revision))
            except Conflict:
                continue
        raise no_such_subscription(named.id)

    async def delete(self, subscription: Subscription) -> int:
        """Delete a subscription; nothing more is sent from the moment that the delivering node knows."""
        return await self._bus.delete_record("subscription", subscription.key)

    async def _all(self) -> list[Subscription]:
        now = self._clock.now()
        found = await self._store.records("subscription")
        return [one for one in found if isinstance(one, Subscription) and one.expires_at > now]

    async def _sees(self, viewer: _Holder, one: Subscription) -> bool:
        if viewer == _Holder() or _is_held_by(one, viewer):
            return True
        if viewer.user != ANY:
            return False
        if viewer.domain != ANY:
            return one.holder_domain == viewer.domain
        record = await self._store.domain(one.holder_domain) if one.holder_domain != ANY else None
        return record is not None and record.reseller == viewer.reseller


def _is_held_by(one: Subscription, holder: _Holder) -> bool:
    return (one.holder_domain, one.holder_user, one.holder_reseller) == (holder.domain, holder.user, holder.reseller)


def _taken_over(one: Subscription, taker: Principal, *, expires_at: float | None) -> Subscription:
    """Return a subscription as `taker` would have made it; it rules over its holder, or would not see it."""
    return msgspec.structs.replace(
        one,
        holder_key_id=taker.key_id,
        actors=actors_of(taker),
        ended="",
        expires_at=expires_at or taker.expires_at or one.expires_at,
    )


def _changed(before: Subscription, order: SubscriptionOrder, counted: tuple[int, int]) -> Subscription:
    """Return a subscription after an update; `counted` are posts and errors so far."""
    geo = order.get("subscription-geo-support", before.subscription_geo_support)
    posts, errors = counted
    return msgspec.structs.replace(
        before,
        model=order.get("model", before.model),
        post_url=order.get("post-url", before.post_url),
        preferred_server=order.get("preferred-server", before.preferred_server),
        expires_at=order.expires_at or before.expires_at,
        subscription_geo_support="no" if geo == "no" else "yes",
        restarts=before.restarts + ("post-url" in order.texts),
        posts_offset=int(order.get("posts-count", str(before.posts_offset + posts))) - posts,
        errors_offset=int(order.get("error-count", str(before.errors_offset + errors))) - errors,
    )
