"""A call explained before it is placed (ours): what would ring, how it was chosen, and every reason against it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ringbridge.api.directory.dial_plan_trials import TriedView, tried_views
from ringbridge.api.http.errors import ErrorItem
from ringbridge.calls.draft import ORIGINATION, TERMINATION, Draft
from ringbridge.calls.found import Found, Resolved
from ringbridge.model.call import Side
from ringbridge.model.events import CallerId, CallRequest, Target


class TargetView(msgspec.Struct, frozen=True, rename="kebab"):
    """One thing that would ring."""

    target: str
    target_uri: str
    sent_to: Annotated[str, Meta(description="Transport, host and port that the INVITE would go to.")]
    user: str
    device: str
    connection: str


class LegExplanation(msgspec.Struct, frozen=True, rename="kebab"):
    """One leg as it would be. The fields of the rule are empty where no dial rule chose it."""

    leg: str
    rings: tuple[TargetView, ...]
    dialled: str
    dial_rule_dial_plan: str
    dialrule: str
    dial_rule_application: str
    connection: str
    caller_id_number: str
    caller_id_name: str
    caller_id_host: Annotated[str, Meta(description="Of the From header, where a dial rule changes it.")]
    headers: Annotated[tuple[str, ...], Meta(description="Added to the INVITE by the request or by the dial rule.")]
    auto_answer: Annotated[str, Meta(description="`yes`: a phone is asked to answer by itself.")]
    ring_timeout_seconds: float | None
    tried: Annotated[tuple[TriedView, ...], Meta(description="Dial rules that were tried, in order.")]


class CallExplanation(msgspec.Struct, frozen=True, rename="kebab"):
    """What a request for a call would do. `reasons` is everything that is against it."""

    call_id: str
    would_ring: Annotated[str, Meta(description="`yes` when there is no reason against it.")]
    origination: LegExplanation
    termination: LegExplanation
    reasons: tuple[ErrorItem, ...]


def explanation(request: CallRequest, draft: Draft) -> CallExplanation:
    """Return how a draft is told."""
    plan = draft.plan
    timeouts = (plan.origination_ring_timeout_s, plan.termination_ring_timeout_s) if plan else (None, None)
    added = (request.call_term_added_sip_header,) if request.call_term_added_sip_header else ()
    rings = draft.origination.targets if isinstance(draft.origination, Found) else ()
    auto_answer = "yes" if request.auto_answer_enabled or any(target.auto_answer for target in rings) else "no"
    return CallExplanation(
        call_id=request.call_id,
        would_ring="no" if draft.faults else "yes",
        origination=msgspec.structs.replace(
            _leg(Side.ORIGINATION, draft.origination, draft.origination_caller_id, draft),
            auto_answer=auto_answer,
            ring_timeout_seconds=timeouts[0],
        ),
        termination=_with_headers(
            msgspec.structs.replace(
                _leg(Side.TERMINATION, draft.termination, draft.termination_caller_id, draft),
                ring_timeout_seconds=timeouts[1],
            ),
            added,
        ),
        reasons=tuple(
            ErrorItem(one.code, one.message, one.field or None, one.found, one.allowed) for one in draft.faults
        ),
    )


def _with_headers(leg: LegExplanation, added: tuple[str, ...]) -> LegExplanation:
    return msgspec.structs.replace(leg, headers=(*leg.headers, *added))


def _leg(side: Side, resolved: Resolved, caller_id: CallerId, draft: Draft) -> LegExplanation:
    found = resolved if isinstance(resolved, Found) else None
    rule = found.rule if found else None
    targets = found.targets if found else ()
    tries = draft.tries.get(ORIGINATION if side is Side.ORIGINATION else TERMINATION)
    return LegExplanation(
        leg=side.value,
        rings=tuple(map(_target, targets)),
        dialled=found.dialled if found else "",
        dial_rule_dial_plan=rule.plan if rule else "",
        dialrule=rule.rule if rule else "",
        dial_rule_application=rule.application if rule else "",
        connection=found.connection.connection_orig_match_pattern if found and found.connection else "",
        caller_id_number=caller_id.number,
        caller_id_name=caller_id.name,
        caller_id_host=caller_id.host,
        headers=tuple(f"{name}: {value}" for name, value in (targets[0].headers if targets else ())),
        auto_answer="no",
        ring_timeout_seconds=None,
        tried=tried_views(tries) if tries else (),
    )


def _target(target: Target) -> TargetView:
    return TargetView(
        target=target.label,
        target_uri=target.uri,
        sent_to=f"{target.transport.lower()}:{target.host}:{target.port}",
        user=target.user,
        device=target.device,
        connection=target.connection,
    )
