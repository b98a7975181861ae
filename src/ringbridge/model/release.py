"""Why a leg or a call ended. No leg ends without one (design.md, "Rules that do not bend")."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Result(StrEnum):
    """What became of a leg or a call, for people and reports."""

    COMPLETED = "completed"
    """Was answered and ended as calls do."""
    CANCELLED = "cancelled"
    """Ended on request before it was answered."""
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    """No way to the phone: not registered, no route, transport failure, no response at all."""
    EXPIRED = "expired"
    """Not dialled in time (`dial-before`)."""
    FAILED = "failed"
    """Something on our side, or a peer that broke the protocol."""


class ReleaseCause(msgspec.Struct, frozen=True, rename="kebab"):
    """Why a leg ended: `result`, a stable kebab-case `reason`, and the SIP status where there was one."""

    result: Result
    reason: str
    sip_status: int | None = None


HUNG_UP = ReleaseCause(Result.COMPLETED, "hung-up")
"""The leg's own party sent BYE."""
OTHER_LEG_ENDED = ReleaseCause(Result.COMPLETED, "other-leg-ended")
TRANSFERRED = ReleaseCause(Result.COMPLETED, "transferred")
"""Its party has transferred the call, and somebody else has taken its place."""
HANDOVER_REFUSED = ReleaseCause(Result.FAILED, "not-taken-over")
"""The call that wanted a party of this one has not taken it after all."""
TRANSFER_FAILED = ReleaseCause(Result.COMPLETED, "transfer-failed")
"""Nobody took the place of a party that had left; the other one had been connected before."""
ANSWERED_ELSEWHERE = ReleaseCause(Result.CANCELLED, "answered-elsewhere")
DELETED = ReleaseCause(Result.CANCELLED, "deleted")
"""DELETE before both were joined."""
DELETED_WHILE_UP = ReleaseCause(Result.COMPLETED, "deleted")
REJECTED = ReleaseCause(Result.REJECTED, "rejected")
"""Rejected by the API on behalf of the party that was being rung."""
CALLER_GAVE_UP = ReleaseCause(Result.CANCELLED, "origination-hung-up")
"""The first leg hung up while the second was still ringing."""
RING_TIMEOUT = ReleaseCause(Result.NO_ANSWER, "ring-timeout")
NEVER_RANG = ReleaseCause(Result.UNREACHABLE, "never-rang")
"""The ring time ran out and no phone had said that it rings."""
CALL_TOO_LONG = ReleaseCause(Result.COMPLETED, "call-duration-limit")
DIALLED_TOO_LATE = ReleaseCause(Result.EXPIRED, "dial-before-passed")
RELAY_LOST = ReleaseCause(Result.FAILED, "relay-lost")
ENGINE_RESTARTED = ReleaseCause(Result.FAILED, "engine-restarted")
ENGINE_STOPPED = ReleaseCause(Result.FAILED, "engine-stopped")
INTERNAL_ERROR = ReleaseCause(Result.FAILED, "internal-error")


def of_sip_status(status: int) -> ReleaseCause:
    """Return the cause for a final SIP response `status` (300–699) to an INVITE (RFC 3261 §21)."""
    reason = f"sip-{status}"
    if status < 400:
        # A phone that forwards: not followed, since where it points is not what the caller was allowed to dial.
        return ReleaseCause(Result.REJECTED, "redirected", status)
    if status in (486, 600):
        return ReleaseCause(Result.BUSY, "busy", status)
    if status == 480:
        return ReleaseCause(Result.NO_ANSWER, "temporarily-unavailable", status)
    if status == 408:
        return ReleaseCause(Result.UNREACHABLE, "no-response", status)
    if status == 487:
        return ReleaseCause(Result.CANCELLED, "cancelled", status)
    if status in (603, 403, 401, 407, 433, 607, 608):
        return ReleaseCause(Result.REJECTED, "declined" if status == 603 else reason, status)
    if status in (404, 410, 484, 485, 502, 503, 504, 604):
        return ReleaseCause(Result.UNREACHABLE, reason, status)
    return ReleaseCause(Result.FAILED, reason, status)


REASON_PHRASES: dict[int, str] = {
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    433: "Anonymity Disallowed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""The names of final responses (RFC 3261 §21 and its extensions), as the legacy text of a CDR has them."""
