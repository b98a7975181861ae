"""The final record of a call, folded from its events: one a call, whatever became of it (contract §6)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ringbridge.model.call import Call, CallState, Side
from ringbridge.model.parties import parties
from ringbridge.model.release import REASON_PHRASES, RING_TIMEOUT, ReleaseCause, Result


class Direction(IntEnum):
    """`call-direction` on the wire, and `type` of a user's view: who of ours was on which end."""

    OUTBOUND = 0
    """Made by one of ours."""
    INBOUND = 1
    """Answered by one of ours."""
    MISSED = 2
    """Rang one of ours, and was not answered."""
    ON_NET = 3
    """From one of ours to one of ours: only a domain sees it so, each of the two has a side."""


class Cdr(msgspec.Struct, frozen=True, array_like=True):
    """One call detail record. Times are epoch seconds, 0 where it never happened; durations are seconds.

    It is stored as an array, at half the size of a map: fields are only ever added, at the end and with a default.
    """

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
    orig_domain: str = ""
    """Domain of the first leg's user; empty for a number outside."""
    orig_name: str = ""
    """Shown to the second leg, beside `term_caller_id`."""
    orig_host: str = ""
    """Address of the first leg's phone or carrier."""
    orig_media: str = ""
    """`host:port` of the first leg's RTP."""
    orig_connection: str = ""
    term_domain: str = ""
    term_host: str = ""
    term_media: str = ""
    term_connection: str = ""
    asked: str = ""
    """`call-term-user` as it was asked for; `dialled` is what it was translated to."""
    application: str = ""
    match_uri: str = ""
    """Pattern of the dial rule that chose the second leg."""
    reseller: str = ""
    orig_site: str = ""
    orig_department: str = ""
    term_name: str = ""
    """Name of the second leg's user."""
    term_site: str = ""
    term_department: str = ""
    through_user: str = ""
    """Who transferred the call, and has left it."""
    through_uri: str = ""
    through_caller_id: str = ""
    """Shown by whoever transferred it, before."""
    through_sip_call_id: str = ""
    through_action: str = ""
    """`transfer`, where there was one."""

    @property
    def caller(self) -> str:
        """The first leg: its user, or the number where it is outside."""
        return self.orig_user or user_part(self.orig_uri)

    @property
    def direction(self) -> Direction:
        """How the domain sees the call."""
        if not self.term_user:
            return Direction.OUTBOUND
        if self.orig_user:
            return Direction.ON_NET
        return Direction.INBOUND if self.answered_at else Direction.MISSED

    @property
    def is_on_net(self) -> bool:
        return bool(self.orig_user and self.term_user)


class Party(msgspec.Struct, frozen=True):
    """A user in whose history a call belongs, and how that user sees it."""

    domain: str
    user: str
    direction: Direction


def parties_of(cdr: Cdr) -> list[Party]:
    """Return the users in whose history `cdr` belongs: who made it, spoke on its first leg, was rung, transferred it.

    A second leg that was never rung knows nothing of the call, and its user is not told of it.
    """
    found: dict[tuple[str, str], Direction] = {}
    if cdr.term_user and cdr.term_sip_call_id:
        answered = Direction.INBOUND if cdr.answered_at else Direction.MISSED
        found[cdr.term_domain or cdr.domain, cdr.term_user] = answered
    if cdr.orig_user:
        found[cdr.orig_domain or cdr.domain, cdr.orig_user] = Direction.OUTBOUND
    if cdr.through_user:
        found.setdefault((cdr.domain, cdr.through_user), Direction.INBOUND)
    found[cdr.domain, cdr.user] = Direction.OUTBOUND
    return [Party(domain, user, direction) for (domain, user), direction in found.items()]


def user_part(uri: str) -> str:
    """Return the user part of a SIP URI."""
    return uri.removeprefix("sip:").rpartition("@")[0]


def host_part(uri: str) -> str:
    """Return the host part of a SIP URI, with its port."""
    return uri.rpartition("@")[2]


def disconnect_reason_text(cause: ReleaseCause, ended_by: str) -> str:
    """Return the legacy text: `Orig: Bye`, `Term: Bye`, `Orig: Cancel`, `Term: 486 Busy Here` (contract §6)."""
    party = {"origination": "Orig", "termination": "Term"}.get(ended_by, "System")
    if cause.sip_status is not None:
        return f"{party}: {cause.sip_status} {REASON_PHRASES.get(cause.sip_status, '')}".rstrip()
    if cause.result is Result.COMPLETED:
        return f"{party}: Bye" if party != "System" else f"System: {cause.reason}"
    if cause.result is Result.CANCELLED:
        return f"{'Orig' if party == 'System' else party}: Cancel"
    if cause == RING_TIMEOUT:
        return f"{party}: No Answer"
    return f"{party}: {cause.reason}"


def cdr_of(call: Call) -> Cdr:
    """Return the CDR of a call that has ended.

    Raises:
        ValueError: the call is not over, or never was one.
    """
    if call.state is not CallState.ENDED or call.release is None or call.plan is None:
        raise ValueError(f"a call in state {call.state.value} has no CDR yet")
    plan, between = call.plan, parties(call)
    orig, term, through = between.orig, between.term, between.through
    orig_target = between.orig_target or plan.origination[0]
    term_target = between.term_target or plan.termination[0]
    return Cdr(
        id=call.session_id,
        domain=call.domain,
        user=call.user,
        call_id=call.call_id,
        started_at=call.requested_at,
        ringing_at=min(
            (leg.ringing_at for leg in call.legs if leg.side is Side.TERMINATION and leg.ringing_at), default=0
        ),
        orig_answered_at=_first_answered(call),
        answered_at=call.joined_at,
        ended_at=call.ended_at,
        talking_s=max(0.0, call.ended_at - call.joined_at) if call.joined_at else 0.0,
        total_s=max(0.0, call.ended_at - call.requested_at),
        held_s=call.held_s,
        cause=call.release,
        ended_by=between.ended_by,
        disconnect_reason_text=disconnect_reason_text(call.release, between.ended_by),
        orig_user=orig_target.user,
        orig_uri=orig_target.to_uri,
        orig_caller_id=between.shown_to_orig.number,
        orig_sip_call_id=orig.sip_call_id if orig else "",
        term_user=term_target.user,
        term_uri=term_target.to_uri,
        term_caller_id=between.shown_to_term.number,
        term_sip_call_id=term.sip_call_id if term else "",
        dialled=between.dialled,
        codec=term.codec if term and term.codec else (orig.codec if orig else ""),
        node=call.owner,
        orig_domain=orig_target.domain,
        orig_name=between.shown_to_term.name,
        orig_host=orig_target.host,
        orig_media=orig.remote_media if orig else "",
        orig_connection=orig_target.connection,
        term_domain=term_target.domain,
        term_host=term_target.host,
        term_media=term.remote_media if term else "",
        term_connection=term_target.connection,
        asked=call.request.call_term_user if call.request else plan.dialled,
        application=call.request.dial_rule_application if call.request else "",
        match_uri=between.match_uri,
        reseller=plan.reseller,
        orig_site=between.orig_person.site,
        orig_department=between.orig_person.department,
        term_name=between.term_person.name,
        term_site=between.term_person.site,
        term_department=between.term_person.department,
        through_user=through.target.user if through else "",
        through_uri=through.target.to_uri if through else "",
        through_caller_id=plan.termination_caller_id.number if through else "",
        through_sip_call_id=through.sip_call_id if through else "",
        through_action="transfer" if through else "",
    )


def _first_answered(call: Call) -> float:
    return min((leg.answered_at for leg in call.legs if leg.side is Side.ORIGINATION and leg.answered_at), default=0.0)
