"""The final record of a call, folded from its events: one a call, whatever became of it (contract §6)."""

from __future__ import annotations

import msgspec

from ringbridge.model.call import Call, CallState, Leg, Side
from ringbridge.model.release import ReleaseCause, Result


class Cdr(msgspec.Struct, frozen=True, rename="kebab"):
    """One call detail record. Times are epoch seconds, 0 where it never happened; durations are seconds."""

    id: str
    """The call's session id: one CDR a call, by construction."""
    domain: str
    user: str
    call_id: str
    started_at: float
    ringing_at: float
    """When the first phone of the second leg rang."""
    orig_answered_at: float
    answered_at: float
    """When both were joined."""
    ended_at: float
    talking_s: float
    total_s: float
    held_s: float
    cause: ReleaseCause
    ended_by: str
    disconnect_reason_text: str
    orig_user: str
    orig_uri: str
    orig_caller_id: str
    """Shown to the first leg."""
    orig_sip_call_id: str
    term_user: str
    term_uri: str
    term_caller_id: str
    """Shown to the second leg."""
    term_sip_call_id: str
    dialled: str
    codec: str
    node: str


def _leg_for(call: Call, side: Side) -> Leg | None:
    """Return the leg that speaks for a side: the one that answered, else the last that was rung."""
    legs = [leg for leg in call.legs if leg.side is side]
    answered = [leg for leg in legs if leg.answered_at]
    chosen = answered or legs
    return chosen[-1] if chosen else None


REASON_PHRASES = {
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    410: "Gone",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    600: "Busy Everywhere",
    603: "Decline",
}


def disconnect_reason_text(cause: ReleaseCause, ended_by: str) -> str:
    """Return the legacy text: `Orig: Bye`, `Term: Bye`, `Orig: Cancel`, `Term: 486 Busy Here` (contract §6)."""
    party = {"origination": "Orig", "termination": "Term"}.get(ended_by, "System")
    if cause.sip_status is not None:
        return f"{party}: {cause.sip_status} {REASON_PHRASES.get(cause.sip_status, '')}".rstrip()
    if cause.result is Result.COMPLETED:
        return f"{party}: Bye" if party != "System" else f"System: {cause.reason}"
    if cause.result is Result.CANCELLED:
        return f"{'Orig' if party == 'System' else party}: Cancel"
    return f"{party}: {cause.reason}"


def cdr_of(call: Call) -> Cdr:
    """Return the CDR of a call that has ended.

    Raises:
        ValueError: the call is not over, or never was one.
    """
    if call.state is not CallState.ENDED or call.release is None or call.plan is None:
        raise ValueError(f"a call in state {call.state.value} has no CDR yet")
    orig, term = _leg_for(call, Side.ORIGINATION), _leg_for(call, Side.TERMINATION)
    plan = call.plan
    orig_target = orig.target if orig else plan.origination[0]
    term_target = term.target if term else plan.termination[0]
    return Cdr(
        id=call.session_id,
        domain=call.domain,
        user=call.user,
        call_id=call.call_id,
        started_at=call.requested_at,
        ringing_at=min(
            (leg.ringing_at for leg in call.legs if leg.side is Side.TERMINATION and leg.ringing_at), default=0
        ),
        orig_answered_at=orig.answered_at if orig else 0.0,
        answered_at=call.joined_at,
        ended_at=call.ended_at,
        talking_s=max(0.0, call.ended_at - call.joined_at) if call.joined_at else 0.0,
        total_s=max(0.0, call.ended_at - call.requested_at),
        held_s=call.held_s,
        cause=call.release,
        ended_by=call.ended_by,
        disconnect_reason_text=disconnect_reason_text(call.release, call.ended_by),
        orig_user=orig_target.user,
        orig_uri=orig_target.to_uri,
        orig_caller_id=plan.origination_caller_id.number,
        orig_sip_call_id=orig.sip_call_id if orig else "",
        term_user=term_target.user,
        term_uri=term_target.to_uri,
        term_caller_id=plan.termination_caller_id.number,
        term_sip_call_id=term.sip_call_id if term else "",
        dialled=plan.dialled,
        codec=term.codec if term and term.codec else (orig.codec if orig else ""),
        node=call.owner,
    )
