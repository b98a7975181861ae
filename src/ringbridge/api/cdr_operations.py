"""The operations of call history, as data (contract §6)."""

from __future__ import annotations

from typing import Final

import msgspec

from ringbridge.api.calls import USER_CALLS
from ringbridge.api.cdr_fields import Seen
from ringbridge.api.cdr_query import LIST_QUERY, WINDOW_QUERY
from ringbridge.api.cdr_views import DOMAIN_VIEW, RAW_VIEW, USER_VIEW, CdrView
from ringbridge.api.cdrs import CdrHandlers, CdrTotalsView
from ringbridge.api.operations import Access, Handler, Operation, Reply, Schema
from ringbridge.model.cdr import Cdr
from ringbridge.model.release import HUNG_UP

ALL_CDRS: Final = "/ns-api/v2/cdrs"
DOMAIN_CDRS: Final = "/ns-api/v2/domains/{domain}/cdrs"
USER_CDRS: Final = "/ns-api/v2/domains/{domain}/users/{user}/cdrs"
CSV_TYPE: Final = "text/csv"
TAG: Final = "CDRs"
_LIST: Final = (
    "Newest first. Pages are found by `start` and `limit`, or behind the last one by the `next` link. With "
    "`Accept: text/csv` all that is asked for comes as CSV (RFC 4180) in one stream; there, `limit` has no default. "
    "`X-Total-Count` is left out where counting takes long: `…/count` tells it. Times are in the time zone of "
    "`datetime-start`."
)

EXAMPLE: Final = Cdr(
    id="01JD7Z4Q3V",
    domain="demo",
    user="1001",
    call_id="b7f9c2d4-click-1",
    started_at=1_795_428_000.0,
    ringing_at=1_795_428_001.1,
    orig_answered_at=1_795_428_000.9,
    answered_at=1_795_428_001.9,
    ended_at=1_795_428_009.0,
    talking_s=7.1,
    total_s=9.0,
    held_s=0.0,
    cause=HUNG_UP,
    ended_by="origination",
    disconnect_reason_text="Orig: Bye",
    orig_user="1001",
    orig_uri="sip:1001@demo",
    orig_caller_id="4570101010",
    orig_sip_call_id="q8Zt1001hK",
    term_user="1002",
    term_uri="sip:1002@demo",
    term_caller_id="1001",
    term_sip_call_id="q8Zt1002hK",
    dialled="1002",
    codec="PCMU",
    node="node-1",
    orig_domain="demo",
    orig_name="Ada Lovelace",
    orig_host="192.0.2.10",
    term_domain="demo",
    term_host="192.0.2.11",
    asked="1002",
    application="call",
)
"""One call of the sample domain, as everywhere in the document."""


def _example(view: CdrView) -> dict[str, object]:
    row: dict[str, object] = msgspec.to_builtins(
        view.row(Seen(EXAMPLE, domain="demo", user="1001" if view is USER_VIEW else ""))
    )
    return row


def _list(name: str, path: str, access: Access, handle: Handler, summary: str, view: CdrView) -> Operation:
    schema: Schema = {"type": "array", "items": view.schema}
    reply = Reply(200, "CDRs, newest first.", schema, [_example(view)], ("Link", "X-Total-Count"), also=(CSV_TYPE,))
    return Operation(
        name=name,
        method="GET",
        path=path,
        access=access,
        handle=handle,
        tag=TAG,
        summary=summary,
        description=_LIST,
        query=LIST_QUERY,
        replies=(reply,),
    )


def _count(name: str, path: str, access: Access, handle: Handler, summary: str) -> Operation:
    example = {"total": 1, "call-total-duration-seconds": 9}
    return Operation(
        name=name,
        method="GET",
        path=path + "/count",
        access=access,
        handle=handle,
        tag=TAG,
        summary=summary,
        query=WINDOW_QUERY,
        replies=(Reply(200, "How many calls, and how long they lasted together.", CdrTotalsView, example),),
    )


def operations(handlers: CdrHandlers) -> list[Operation]:
    """Return the operations of CDRs."""
    its = handlers
    return [
        _list("list-cdrs", ALL_CDRS, Access.MANAGER, its.of_all, "List the CDRs of all your domains", RAW_VIEW),
        _count("count-cdrs", ALL_CDRS, Access.MANAGER, its.count_of_all, "Count and sum the CDRs of all your domains"),
        _list("list-domain-cdrs", DOMAIN_CDRS, Access.DOMAIN, its.of_domain, "List a domain's CDRs", DOMAIN_VIEW),
        _count("count-domain-cdrs", DOMAIN_CDRS, Access.DOMAIN, its.count_of_domain, "Count and sum a domain's CDRs"),
        _list(
            "list-user-cdrs",
            USER_CDRS,
            Access.USER,
            its.of_user,
            "List the CDRs of calls that a user made or was called by",
            USER_VIEW,
        ),
        _count("count-user-cdrs", USER_CDRS, Access.USER, its.count_of_user, "Count and sum a user's CDRs"),
        Operation(
            name="read-call-cdr",
            method="GET",
            path=USER_CALLS + "/{call-id}/cdr",
            access=Access.USER,
            handle=its.of_call,
            tag=TAG,
            summary="Read the CDR of one call",
            replies=(Reply(200, "The CDR.", DOMAIN_VIEW.schema, _example(DOMAIN_VIEW)),),
            refusals=(503,),
        ),
    ]
