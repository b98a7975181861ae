"""A call as the API shows it: schema `ActiveCall` and what we add beside it (contract §3 "The resource")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from ringbridge.model.call import Call, Leg
from ringbridge.model.events import Target
from ringbridge.model.ladder import ladder
from ringbridge.model.orders import Order
from ringbridge.model.parties import Parties, parties
from ringbridge.model.release import ReleaseCause

When = Annotated[str, Meta(description="RFC 3339 in UTC with offset; empty until it happens.")]


def rfc3339(at: float) -> str:
    """Return epoch seconds as RFC 3339 with milliseconds and offset; empty for 0, which stands for never."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else ""


class LegView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One leg."""

    leg: Annotated[str, Meta(description="`origination` is rung first, `termination` second.")]
    leg_id: str
    target: str
    target_uri: str
    user: str
    device: str
    connection: str
    state: Annotated[str, Meta(description="`invited`, `ringing`, `answered`, `released`.")]
    sip_call_id: str
    invited_datetime: When
    ringing_datetime: When
    answered_datetime: When
    released_datetime: When
    codec: str
    held: Annotated[bool, Meta(description="Its party holds the other at its phone.")]
    transfer: Annotated[int, Meta(description="Which transfer it was rung for; 0: it is of the call itself.")]
    flow: Annotated[
        str,
        Meta(
            description="What the API has made of its audio: `talk`, `music` (on hold, hears music), `silent` (holds)."
        ),
    ]
    release_cause: ReleaseCause | None


class OrderView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """What was asked of a call last, and what became of it."""

    action: Annotated[
        str,
        Meta(description="`hold`, `unhold`, `transfer`, or `handover`: of a far party, to a call that is transferred."),
    ]
    leg_id: Annotated[str, Meta(description="The leg whose party asked.")]
    to: Annotated[str, Meta(description="Of a transfer: what is dialled. Of a handover: the other call's session id.")]
    by: str
    ordered_datetime: When
    done_datetime: Annotated[str, Meta(description="Empty while it is being carried out.")]
    release_cause: Annotated[
        ReleaseCause | None, Meta(description="Why it was not carried out; null where it was, or still is being.")
    ]


class CallView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """A call: the API's own names first, ours after them."""

    core_server: str
    call_session_id: str
    call_orig_call_id: Annotated[str, Meta(description="The application's `call-id`.")]
    call_orig_match_uri: str
    call_orig_user: str
    call_orig_domain: str
    call_orig_uri: str
    call_orig_name: str
    caller_id_number: str
    call_dialed_number: str
    call_by_action: str
    call_by_user: str
    call_by_domain: str
    call_by_call_id: str
    call_term_call_id: Annotated[str, Meta(description="The second leg's SIP Call-ID, once it exists.")]
    call_term_user: str
    call_term_domain: str
    call_term_uri: str
    call_start_datetime: When
    call_answer_datetime: When
    call_orig_info: Annotated[str, Meta(description="Where the first leg's phone is: transport and address.")]
    term_orig_info: Annotated[str, Meta(description="The same of the second leg.")]
    call_audio_codec: str
    call_id: str
    call_state: Annotated[
        str,
        Meta(
            description="`requested`, `claimed`, `orig-ringing`, `orig-answered`, `term-ringing`, `connected`, "
            "`held`, `ended`."
        ),
    ]
    call_end_datetime: When
    call_legs: tuple[LegView, ...]
    call_order: Annotated[OrderView | None, Meta(description="The last order to the call: hold, unhold, transfer.")]
    release_cause: ReleaseCause | None


class RungView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One step of the ladder."""

    at: When
    ms: Annotated[float, Meta(description="Milliseconds since the request was accepted.")]
    step: str
    leg: str
    leg_id: str
    detail: str


class LadderView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """A call step by step."""

    call_id: str
    call_state: str
    steps: tuple[RungView, ...]
    release_cause: ReleaseCause | None


def _leg_view(leg: Leg) -> LegView:
    return LegView(
        leg=leg.side.value,
        leg_id=leg.leg_id,
        target=leg.target.label,
        target_uri=leg.target.to_uri,
        user=leg.target.user,
        device=leg.target.device,
        connection=leg.target.connection,
        state=leg.state.value,
        sip_call_id=leg.sip_call_id,
        invited_datetime=rfc3339(leg.invited_at),
        ringing_datetime=rfc3339(leg.ringing_at),
        answered_datetime=rfc3339(leg.answered_at),
        released_datetime=rfc3339(leg.released_at),
        codec=leg.codec,
        held=leg.held,
        transfer=leg.transfer,
        flow=leg.flow.value,
        release_cause=leg.cause,
    )


def _order_view(order: Order) -> OrderView:
    return OrderView(
        action=order.kind.value,
        leg_id=order.leg_id,
        to=_order_to(order),
        by=order.by,
        ordered_datetime=rfc3339(order.at),
        done_datetime=rfc3339(order.ended_at),
        release_cause=order.cause,
    )


def _order_to(order: Order) -> str:
    if order.handover is not None:
        return order.handover.session_id
    return order.plan.dialled if order.plan else ""


def _where(target: Target | None) -> str:
    return f"{target.transport} {target.host}:{target.port}" if target else ""


def _dialled(call: Call, between: Parties) -> str:
    if between.replaced:
        return between.dialled
    return call.request.call_term_user if call.request else ""


def _by_action(call: Call, between: Parties) -> str:
    if between.through is not None:
        return "transfer"
    return call.request.dial_rule_application if call.request else ""


def call_view(call: Call) -> CallView:
    """Return the resource of a `call` that was accepted (never of a barred id)."""
    between = parties(call)
    orig, term, through = between.orig, between.term, between.through
    orig_target, term_target = between.orig_target, between.term_target
    orig_user = call.plan.origination_user if call.plan and not between.replaced else ""
    return CallView(
        core_server=call.owner,
        call_session_id=call.session_id,
        call_orig_call_id=call.call_id,
        call_orig_match_uri=orig_target.to_uri if orig_target else "",
        call_orig_user=orig_user or (orig_target.user if between.replaced and orig_target is not None else call.user),
        call_orig_domain=call.domain,
        call_orig_uri=orig_target.to_uri if orig_target else "",
        call_orig_name=between.shown_to_term.name,
        caller_id_number=between.shown_to_term.number,
        call_dialed_number=_dialled(call, between),
        call_by_action=_by_action(call, between),
        call_by_user=(through.target.user if through else "") or call.user,
        call_by_domain=call.domain,
        call_by_call_id=through.sip_call_id if through else call.call_id,
        call_term_call_id=term.sip_call_id if term else "",
        call_term_user=term_target.user if term_target else "",
        call_term_domain=term_target.domain if term_target else "",
        call_term_uri=term_target.to_uri if term_target else "",
        call_start_datetime=rfc3339(call.requested_at),
        call_answer_datetime=rfc3339(call.joined_at),
        call_orig_info=_where(orig_target),
        term_orig_info=_where(term_target),
        call_audio_codec=(term.codec if term and term.codec else (orig.codec if orig else "")),
        call_id=call.call_id,
        call_state=call.state.value,
        call_end_datetime=rfc3339(call.ended_at),
        call_legs=tuple(_leg_view(leg) for leg in call.legs),
        call_order=_order_view(call.orders[-1]) if call.orders else None,
        release_cause=call.release,
    )


def ladder_view(call: Call) -> LadderView:
    """Return the steps of a call."""
    steps = tuple(
        RungView(
            at=rfc3339(rung.at), ms=rung.ms, step=rung.step.value, leg=rung.leg, leg_id=rung.leg_id, detail=rung.detail
        )
        for rung in ladder(call)
    )
    return LadderView(call_id=call.call_id, call_state=call.state.value, steps=steps, release_cause=call.release)
