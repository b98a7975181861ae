"""Session timers: what both sides agree on, so that a call whose far end has died is noticed (RFC 4028).

Pure arithmetic on headers; `endpoint_refresh` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import parse_seconds
from ringbridge.sip.message_base import Message
from ringbridge.sip.params import parse_params

FLOOR_S: Final = 90
"""RFC 4028 §4: no Min-SE below it."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """An agreed session interval, and which side refreshes."""

    expires_s: int
    we_refresh: bool

    def refresh_after_s(self) -> float:
        """RFC 4028 §10: half of the interval after the last refresh, it is refreshed again."""
        return self.expires_s / 2

    def expire_after_s(self) -> float:
        """RFC 4028 §10: who waits sends BYE a little early, the smaller of 32 s and a third before the end."""
        return self.expires_s - min(32.0, self.expires_s / 3)


class TooSmall(Exception):
    """The peer asks for a shorter session timer than we take: 422 with Min-SE (RFC 4028 §9)."""


def read_session_expires(message: Message) -> tuple[int, str] | None:
    """Return seconds and refresher (`uac`, `uas` or empty) of Session-Expires; None when there is none.

    Raises:
        ProtocolError: 400.
    """
    value = message.first("Session-Expires")
    if value is None:
        return None
    seconds, semicolon, params = value.partition(";")
    refresher = parse_params(params).get("refresher") if semicolon else None
    return parse_seconds("Session-Expires", seconds.strip()), (refresher or "").lower()


def read_min_se(message: Message) -> int:
    """Return the seconds of Min-SE, at least the floor of 90."""
    value = message.first("Min-SE")
    return FLOOR_S if value is None else max(FLOOR_S, parse_seconds("Min-SE", value))


def agree_as_uas(request: Message, *, min_se_s: int) -> SessionTimer | None:
    """Return what to answer a request for a session timer with (RFC 4028 §9); None: it asks for none.

    Raises:
        TooSmall: the interval is below ours, and the peer knows what 422 means.
        ProtocolError: 400.
    """
    asked = read_session_expires(request)
    if asked is None:
        return None
    seconds, refresher = asked
    if "timer" not in request.tokens("Supported"):
        # RFC 4028 §9: a proxy asked, the peer knows nothing of it. Only we can refresh, and 422 would mean nothing.
        return SessionTimer(max(seconds, min_se_s), we_refresh=True)
    if seconds < min_se_s:
        raise TooSmall
    # RFC 4028 §9, table 2: the peer's choice of refresher stands; where it left it open, the peer refreshes.
    return SessionTimer(seconds, we_refresh=refresher == "uas")


def agree_as_uac(response: Message, *, asked_s: int | None = None) -> SessionTimer | None:
    """Return what a 2xx to our request agreed on (RFC 4028 §7.2); None: no session timer.

    `asked_s` is the interval that our request asked for, in seconds. Deviates: where the peer answers none, since it
    knows no timers, §7.2 has no session expire. We refresh all the same, as a request inside the dialog is always
    allowed: it is the only way to notice that such a phone has lost its power.
    """
    try:
        answered = read_session_expires(response)
    except ProtocolError:
        answered = None
    if answered is None or answered[0] == 0:
        return None if asked_s is None else SessionTimer(max(asked_s, FLOOR_S), we_refresh=True)
    # RFC 4028 §4: nothing below 90 s; a peer that says less shall not make us send twice a second.
    return SessionTimer(max(answered[0], FLOOR_S), we_refresh=answered[1] != "uas")


def answer_headers(timer: SessionTimer | None) -> tuple[tuple[str, str], ...]:
    """Return the headers of our 2xx; RFC 4028 §9: `Require: timer` when the peer has to refresh."""
    if timer is None:
        return ()
    if timer.we_refresh:
        return (("Session-Expires", f"{timer.expires_s};refresher=uas"),)
    return (("Session-Expires", f"{timer.expires_s};refresher=uac"), ("Require", "timer"))
