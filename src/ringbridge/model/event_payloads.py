"""What subscribers are sent: a call or CDR at one moment, in the API's legacy names (contract §5).

One bus message becomes one POST: a JSON array with an object for each event that changed what can be seen. Everything
in it follows from the call's events alone, so the same message always gives the same bytes, whoever sends it and
however often; `id` tells a repetition, and `sequence`, which counts all events of a call, tells order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from ringbridge.model.call import Call, CallState, Leg, Side, fold_one
from ringbridge.model.cdr import Cdr, cdr_of
from ringbridge.model.events import CallEvent, CallRequested


class CallObject(msgspec.Struct, frozen=True):
    """A call as it stood after one event. Names with dashes are ours, the others the API's legacy ones."""

    id: str
    object: str
    action: str
    sequence: int
    hostname: str
    call_id: str = msgspec.field(name="call-id")
    call_state: str = msgspec.field(name="call-state")
    session_id: str = msgspec.field(name="call-session-id")
    domain: str
    user: str
    orig_callid: str
    orig_domain: str
    orig_user: str
    orig_from_uri: str
    orig_from_user: str
    orig_from_host: str
    orig_from_name: str
    orig_to_uri: str
    orig_to_user: str
    orig_req_user: str
    orig_match: str
    ani: str
    dnis: str
    by_action: str
    by_callid: str
    by_domain: str
    by_sub: str
    term_callid: str
    term_domain: str
    term_user: str
    term_uri: str
    term_to_uri: str
    codec: str
    time_start: str
    time_ringing: str
    time_answer: str
    time_end: str
    remove: str
    release_text: str


class CdrObject(CallObject, frozen=True):
    """A call that is over, with what only then is known."""

    cdr_id: str
    duration: int
    time_release: str
    time_talking: int
    time_holding: int
    release_code: str


def legacy_time(at: float) -> str:
    """Return epoch seconds as `YYYY-MM-DD HH:MM:SS` in UTC; empty for 0, which stands for never."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


class Told(msgspec.Struct):
    """A call as it is being told: its state, and how many of its events were folded."""

    call: Call | None = None
    events: int = 0

    def tell(self, model: str, events: Sequence[CallEvent], position: int) -> list[CallObject]:
        """Fold one bus message, stored at `position`, and return what a subscriber to `model` is sent of it."""
        if isinstance(events[0] if events else None, CallRequested):
            self.call, self.events = None, 0  # behind a bar, a call begins anew
        objects: list[CallObject] = []
        shown: dict[str, object] | None = None
        for number, event in enumerate(events):
            before = self.call
            self.call = fold_one(before, event)
            self.events += 1
            call = self.call
            if call is None or call is before or call.state is CallState.BARRED or call.plan is None:
                continue
            name = f"{position}-{number}"
            if model == "cdr":
                if call.state is CallState.ENDED and call.release is not None:
                    objects.append(_cdr_object(call, name, self.events))
                continue
            fields = _call_fields(call)
            if fields != shown:
                action = _action(before, call)
                objects.append(_object(CallObject, fields, id=name, object="call", action=action, sequence=self.events))
            shown = fields
        if self.call is not None:
            self.call = msgspec.structs.replace(self.call, sequence=position)
        return objects


def _action(before: Call | None, call: Call) -> str:
    if before is None or before.state is CallState.BARRED:
        return "INSERT"
    return "DELETE" if call.is_over else "UPDATE"


def _object(kind: type[CallObject], fields: dict[str, object], **more: object) -> CallObject:
    return kind(**(fields | more))  # type: ignore[arg-type] # both come from the functions below


def _leg(call: Call, side: Side) -> Leg | None:
    legs = [leg for leg in call.legs if leg.side is side]
    return next((leg for leg in legs if leg.answered_at), legs[-1] if legs else None)


def _call_fields(call: Call) -> dict[str, object]:
    plan, request = call.plan, call.request
    assert plan is not None  # noqa: S101 - `tell` asks before
    orig, term = _leg(call, Side.ORIGINATION), _leg(call, Side.TERMINATION)
    orig_target = orig.target if orig else plan.origination[0]
    term_target = term.target if term else plan.termination[0]
    from_user, _, from_host = orig_target.to_uri.removeprefix("sip:").partition("@")
    ringing = [leg.ringing_at for leg in call.legs if leg.side is Side.TERMINATION and leg.ringing_at]
    return {
        "hostname": call.owner,
        "call_id": call.call_id,
        "call_state": call.state.value,
        "session_id": call.session_id,
        "domain": call.domain,
        "user": call.user,
        "orig_callid": call.call_id,
        "orig_domain": call.domain,
        "orig_user": plan.origination_user or call.user,
        "orig_from_uri": orig_target.to_uri,
        "orig_from_user": from_user,
        "orig_from_host": from_host,
        "orig_from_name": plan.termination_caller_id.name,
        "orig_to_uri": term_target.to_uri,
        "orig_to_user": plan.dialled,
        "orig_req_user": plan.dialled,
        "orig_match": orig_target.to_uri,
        "ani": plan.termination_caller_id.number,
        "dnis": plan.dialled,
        "by_action": request.dial_rule_application if request else "",
        "by_callid": call.call_id,
        "by_domain": call.domain,
        "by_sub": call.user,
        "term_callid": term.sip_call_id if term else "",
        "term_domain": term_target.domain,
        "term_user": term_target.user or term_target.label,
        "term_uri": term_target.to_uri,
        "term_to_uri": term_target.to_uri,
        "codec": (term.codec if term and term.codec else "") or (orig.codec if orig else ""),
        "time_start": legacy_time(call.requested_at),
        "time_ringing": legacy_time(min(ringing, default=0)),
        "time_answer": legacy_time(call.joined_at),
        "time_end": legacy_time(call.ended_at),
        "remove": "yes" if call.is_over else "no",
        "release_text": "",
    }


def _cdr_object(call: Call, name: str, sequence: int) -> CallObject:
    cdr: Cdr = cdr_of(call)
    return _object(
        CdrObject,
        _call_fields(call),
        id=name,
        object="cdr",
        action="INSERT",
        sequence=sequence,
        release_text=cdr.disconnect_reason_text,
        release_code="end",
        cdr_id=cdr.id,
        duration=round(cdr.total_s),
        time_release=legacy_time(cdr.ended_at),
        time_talking=round(cdr.talking_s),
        time_holding=round(cdr.held_s),
    )
