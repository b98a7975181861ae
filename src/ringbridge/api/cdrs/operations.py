"""The operations of call history, as data (contract §6)."""

from __future__ import annotations

from typing import Final

from ringbridge.api.calls.calls import USER_CALLS
from ringbridge.api.cdrs.cdrs import CdrHandlers, CdrTotalsView
from ringbridge.api.cdrs.query import LIST_QUERY, WINDOW_QUERY
from ringbridge.api.cdrs.views import DOMAIN_VIEW, RAW_VIEW, USER_VIEW, CdrView
from ringbridge.api.document.operations import Access, Handler, Operation, Reply, Schema

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


def _list(name: str, path: str, access: Access, handle: Handler, summary: str, view: CdrView) -> Operation:
    schema: Schema = {"type": "array", "items": view.schema}
    reply = Reply(200, "CDRs, newest first.", schema, ("Link", "X-Total-Count"), also=(CSV_TYPE,))
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
    return Operation(
        name=name,
        method="GET",
        path=path + "/count",
        access=access,
        handle=handle,
        tag=TAG,
        summary=summary,
        query=WINDOW_QUERY,
        replies=(Reply(200, "How many calls, and how long they lasted together.", CdrTotalsView),),
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
            replies=(Reply(200, "The CDR.", DOMAIN_VIEW.schema),),
            refusals=(503,),
        ),
    ]
