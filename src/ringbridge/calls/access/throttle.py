"""Throttling of guesses at passwords and codes, by account and by address, over all nodes and restarts.

Only failures count. Known and unknown accounts are counted alike, so that the answer tells nothing. An account is
counted together with the address first: whoever guesses from one place is stopped soon, and its owner elsewhere is not
locked out; only a guess from many places reaches the account's own, wider limit.

Each node counts in memory, where an attempt counts from its beginning, so that many at once gain nothing; failures are
written to the bus as well, where every node looks before an attempt. So a cluster of n nodes lets pass what one does,
and of attempts at the same moment n times as much at most. While the bus is away each node counts alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
import structlog

from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock
from ringbridge.model.client_address import holder_of
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Refusal

log = structlog.get_logger(__name__)

MOST_KEPT: Final = 10_000
"""Counts in memory; the one that failed longest ago goes first."""
TRIES: Final = 20
"""Compare-and-sets for one failure; each that is lost has counted one of another node."""


class Limit(NamedTuple):
    """So many failures in so many seconds."""

    failures: int
    window_s: float


PAIR: Final = Limit(8, 600.0)
ACCOUNT: Final = Limit(50, 600.0)
ADDRESS: Final = Limit(60, 600.0)
WRONG: Final = frozenset({"bad-login", "wrong-password", "wrong-code"})
"""Codes of refusals that tell a guess was wrong; any other tells nothing about the secret, and does not count."""

_Key = tuple[str, ...]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[float, ...]).decode


class LoginThrottle:
    """Counts failed attempts."""

    def __init__(self, *, clock: Clock, bus: LimitBus) -> None:
        self._clock = clock
        self._bus = bus
        self._failures: OrderedDict[_Key, deque[float]] = OrderedDict()
        self._sharing = asyncio.Lock()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Let a secret of `account` be tried inside, or not; a refusal from there with a code of `WRONG` counts.

        Raises:
            CallError: 429; the wait is until the oldest failure that counts is forgotten.
        """
        limits = _limits(account, holder_of(address))
        self._refuse([(self._failures.get(key, ()), limit) for key, limit in limits])
        self._begin(limits)
        try:
            self._refuse([(await self._shared(key), limit) for key, limit in limits])
            yield
        except CallError as refusal:
            if refusal.code in WRONG:
                async with self._sharing:  # so that failures of one node do not compete with each other
                    await asyncio.gather(*(self._share(key, limit) for key, limit in limits))
            else:
                self._take_back(limits)
            raise
        self._take_back(limits)

    @property
    def kept(self) -> int:
        """How many counts are in memory."""
        return len(self._failures)

    def _refuse(self, counted: list[tuple[deque[float] | tuple[float, ...], Limit]]) -> None:
        now = self._clock.now()
        wait_s = 0.0
        for times, limit in counted:
            if len(times) >= limit.failures:
                wait_s = max(wait_s, times[-limit.failures] + limit.window_s - now)
        if wait_s > 0:
            message = "too many failed logins; try again later"
            raise CallError(Refusal.TOO_MANY, "too-many-failed-logins", message, retry_after_s=int(wait_s) + 1)

    # --- in memory ---

    def _begin(self, limits: tuple[tuple[_Key, Limit], ...]) -> None:
        for key, limit in limits:
            self._failures.setdefault(key, deque(maxlen=limit.failures)).append(self._clock.now())
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEPT:
            self._failures.popitem(last=False)

    def _take_back(self, limits: tuple[tuple[_Key, Limit], ...]) -> None:
        for key, _ in limits:
            times = self._failures.get(key)
            if times:
                times.pop()

    # --- on the bus ---

    async def _shared(self, key: _Key) -> tuple[float, ...]:
        """Return when attempts failed on any node, oldest first; nothing while the bus cannot say."""
        try:
            payload, _ = await self._bus.read_limit(_place(key))
        except BusUnavailable:
            return ()
        return _decode(payload) if payload else ()

    async def _share(self, key: _Key, limit: Limit) -> None:
        """Count a failure where every node sees it, until it is forgotten there by itself."""
        now = self._clock.now()
        try:
            for _ in range(TRIES):
                payload, revision = await self._bus.read_limit(_place(key))
                times = (*(_decode(payload) if payload else ()), now)[-limit.failures :]
                try:
                    await self._bus.write_limit(_place(key), _encode(times), after=revision, ttl_s=int(limit.window_s))
                except Conflict:
                    continue
                return
        except BusUnavailable:
            log.warning("failed_login_not_shared", what=key[0])


def _limits(account: str, holder: str) -> tuple[tuple[_Key, Limit], ...]:
    return (("pair", account, holder), PAIR), (("account", account), ACCOUNT), (("address", holder), ADDRESS)


def _place(key: _Key) -> _Key:
    """Return where a count stands: people type passwords for names, so no name is kept as it is."""
    return ("failures", key[0], blake2b("\0".join(key).encode(), digest_size=16).hexdigest())
