"""How many live event streams there may be at one time: of one token's holder, from one address, on this node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as PrometheusCounter

from ringbridge.model.access import Principal
from ringbridge.model.client_address import holder_of
from ringbridge.model.errors import CallError, Refusal

RETRY_AFTER_S: Final = 5


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of live event streams. Times are seconds."""

    per_token: int = 20
    per_address: int = 100
    at_once: int = 1000
    heartbeat_s: float = 15.0
    """Between two signs of life; proxies commonly cut what is silent for 30 s to 60 s."""
    recheck_s: float = 2.0
    """Between two looks at whether the token still holds, and for what."""
    send_s: float = 10.0
    """How long a client may take no byte before it is cut off."""
    life_s: float = 3600.0
    """After this a stream ends and its client comes back, so that streams find their way to nodes that came later."""


def holder(principal: Principal) -> str:
    """Return whose streams are counted together: those of a key, or of all logins of a user."""
    return f"{principal.domain}/{principal.user}" if principal.is_login else principal.key_id


class EventSlots:
    """Counts the streams of one node."""

    def __init__(self, settings: StreamSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._held: Counter[tuple[str, str]] = Counter()
        self._open = Gauge("ringbridge_event_streams", "Live event streams that are open.", registry=registry)
        self._ended = PrometheusCounter(
            "ringbridge_event_streams_ended", "Live event streams that ended, by why.", ("why",), registry=registry
        )

    def check(self, principal: Principal, address: str) -> None:
        """Let pass whoever may have one more stream.

        Raises:
            CallError: 429, there are too many.
        """
        for (of, name), most in self._wanted(principal, address).items():
            if self._held[of, name] >= most:
                message = f"there are {most} event streams of this {of} already; end one, or try again later"
                raise CallError(Refusal.TOO_MANY, "too-many-streams", message, retry_after_s=RETRY_AFTER_S)

    @contextmanager
    def hold(self, principal: Principal, address: str) -> Iterator[None]:
        """Count a stream for as long as it is open."""
        wanted = self._wanted(principal, address)
        self._held.update(wanted.keys())
        self._open.inc()
        try:
            yield
        finally:
            self._open.dec()
            for one in wanted:
                self._held[one] -= 1
                if not self._held[one]:
                    del self._held[one]

    def _wanted(self, principal: Principal, address: str) -> dict[tuple[str, str], int]:
        """Return what a stream is counted under, and how many there may be of each."""
        return {
            ("token", holder(principal)): self._settings.per_token,
            ("address", holder_of(address)): self._settings.per_address,
            ("node", ""): self._settings.at_once,
        }

    def ended(self, why: str) -> None:
        """Count a stream that ended."""
        self._ended.labels(why).inc()
