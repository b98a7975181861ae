"""How often somebody may ask: by key, user, domain and client address, before anything of a request's body is read.

Each node counts for itself, in memory: nothing is written or asked elsewhere for a limit, so it costs a few µs, and a
cluster of n API nodes lets pass n times as much. Answers tell what is left as draft-ietf-httpapi-ratelimit-headers
(version 11) has it. Whoever shows no valid token is counted by address alone, and more strictly.

Not the `limits` library: in memory it takes 11 to 33 µs of processor time to count a request by one limit and say what
is left, so 45 to 130 µs by four, where this takes 9 µs for all and the headers; and a thread of its own to forget.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, Counter

from ringbridge.api.http.answers import HeaderPair
from ringbridge.calls.ports import Clock
from ringbridge.model.access import ANY, Principal
from ringbridge.model.client_address import holder_of
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.quota import Quota, parse_quota, whole_seconds

MOST_KEPT: Final = 100_000
"""Holders of one limit in memory, some 15 MB; beyond it the one that came first goes first."""
SWEEP_EVERY_S: Final = 10.0


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits as `config` writes them: `5000/second`, or `off`."""

    key: str = "5000/second"
    user: str = "5000/second"
    domain: str = "10000/second"
    address: str = "10000/second"
    unauthenticated: str = "100/second"


class _Limit:
    """One limit and how much each holder has used of it."""

    __slots__ = ("name", "policy", "quota", "whole_at")

    def __init__(self, name: str, quota: Quota) -> None:
        self.name = name
        self.quota = quota
        self.policy = f'"{name}";q={quota.amount};w={quota.window_s}'
        self.whole_at: dict[str, float] = {}

    def sweep(self, now: float, most_kept: int) -> None:
        """Forget whose quota is whole again, which says as much as nothing, and who came first of too many."""
        kept = {holder: at for holder, at in self.whole_at.items() if at > now}
        for holder in list(kept)[: max(0, len(kept) - most_kept)]:
            del kept[holder]
        self.whole_at = kept


class Counted(NamedTuple):
    """What counting a request gave: the headers that tell what is left, and the refusal when nothing is."""

    headers: list[HeaderPair]
    refusal: CallError | None = None


class RateLimiter:
    """Counts requests, and says of each whether it is one too many."""

    def __init__(
        self, limits: RateLimits, clock: Clock, registry: CollectorRegistry, *, most_kept: int = MOST_KEPT
    ) -> None:
        quotas = {name: quota for name in RateLimits.__struct_fields__ if (quota := parse_quota(getattr(limits, name)))}
        self._limits = [_Limit(name, quota) for name, quota in quotas.items()]
        self._policies: dict[tuple[str, ...], bytes] = {}
        self._clock = clock
        self._began_at = clock.now()
        self._swept_at = 0.0
        self._most_kept = most_kept
        self._refused = Counter(
            "ringbridge_http_rate_limited", "HTTP requests refused for a rate limit.", ("limit",), registry=registry
        )

    def stranger(self, address: str) -> Counted:
        """Count a request that shows no valid token."""
        holder = holder_of(address)
        return self._take({"unauthenticated": holder, "address": holder})

    def known(self, principal: Principal, address: str) -> Counted:
        """Count a request by whose token it shows, and where from.

        The token's own domain and user count, not the path's: nobody uses up what belongs to another tenant.
        """
        holders = {"key": principal.key_id, "address": holder_of(address)}
        if principal.domain != ANY:
            holders["domain"] = principal.domain
            if principal.user != ANY:
                holders["user"] = f"{principal.domain}/{principal.user}"
        return self._take(holders)

    @property
    def holders(self) -> int:
        """How many are kept in memory, over all limits."""
        return sum(len(limit.whole_at) for limit in self._limits)

    def _take(self, holders: dict[str, str]) -> Counted:
        """Take one of each, or nothing of any when one has none left."""
        now = self._clock.now() - self._began_at
        if not 0.0 <= now - self._swept_at < SWEEP_EVERY_S:
            self._sweep(now)
        uses = [
            (limit, limit.whole_at.get(holders[limit.name], 0.0)) for limit in self._limits if limit.name in holders
        ]
        if not uses:
            return Counted([])
        policies = self._policies_of(tuple(holders))
        longest_s, short = 0.0, ""
        for limit, whole_at in uses:
            wait_s = limit.quota.wait_s(whole_at, now)
            if wait_s > longest_s:
                longest_s, short = wait_s, limit.name
        if short:
            self._refused.labels(short).inc()
            retry_after_s = whole_seconds(longest_s)
            return Counted([policies, _left(short, 0, retry_after_s)], _too_many(short, retry_after_s))
        scarcest, least, used_share, whole_after_s = "", 0, -1.0, 0.0
        for limit, before in uses:
            quota = limit.quota
            whole_at = limit.whole_at[holders[limit.name]] = quota.taken(before, now)
            share = (whole_at - now) / quota.window_s
            if share > used_share:
                left = quota.remaining(whole_at, now)
                scarcest, least, used_share, whole_after_s = limit.name, left, share, whole_at - now
        return Counted([policies, _left(scarcest, least, whole_seconds(whole_after_s))])

    def _policies_of(self, names: tuple[str, ...]) -> HeaderPair:
        """Return the field that names the limits which count for a request."""
        text = self._policies.get(names)
        if text is None:
            text = ", ".join(limit.policy for limit in self._limits if limit.name in names).encode()
            self._policies[names] = text
        return (b"ratelimit-policy", text)

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        for limit in self._limits:
            limit.sweep(now, self._most_kept)


def _left(name: str, left: int, seconds: int) -> HeaderPair:
    """Return the field that tells what is left of the scarcest limit, and when all of it is there again."""
    return (b"ratelimit", f'"{name}";r={left};t={seconds}'.encode())


def _too_many(limit: str, retry_after_s: int) -> CallError:
    by = "of requests without a valid token" if limit == "unauthenticated" else f"by {limit}"
    message = f"too many requests: the limit {by} is reached; try again in {retry_after_s} s"
    return CallError(Refusal.TOO_MANY, "too-many-requests", message, retry_after_s=retry_after_s)
