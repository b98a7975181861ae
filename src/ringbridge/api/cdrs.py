"""CDRs: a thin read by domain and by call (contract §6). Every name of schema `CdrD`; what we cannot know is null."""

from __future__ import annotations

from ringbridge.api.answers import Answer, json_answer, page_answer
from ringbridge.api.auth import no_such_domain
from ringbridge.api.call_views import rfc3339
from ringbridge.api.calls import USER_CALLS, CallHandlers
from ringbridge.api.cdr_names import CDR_NAMES
from ringbridge.api.examples import CDR_EXAMPLE
from ringbridge.api.operations import Access, Operation, Reply
from ringbridge.api.parts import ApiParts
from ringbridge.api.requests import Request
from ringbridge.api.schemas import CDR_SCHEMA, PAGE_QUERY
from ringbridge.model.cdr import Cdr
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import DomainName

OUTBOUND = 0
"""`call-direction`: 0 from one of ours, 1 to one of ours, 2 missed; a click-to-call is made by one of ours."""


def cdr_view(cdr: Cdr) -> dict[str, object]:
    """Return a CDR under the names of schema `CdrD`, and ours after them."""
    user_part, _, host_part = cdr.orig_uri.removeprefix("sip:").partition("@")
    known: dict[str, object] = {
        "id": cdr.id,
        "domain": cdr.domain,
        "call-answer-datetime": rfc3339(cdr.answered_at),
        "call-audio-codec": cdr.codec,
        "call-direction": OUTBOUND,
        "call-disconnect-datetime": rfc3339(cdr.ended_at),
        "call-disconnect-reason-text": cdr.disconnect_reason_text,
        "call-leg-ordinal-index": 0,
        "call-on-hold-duration-seconds": round(cdr.held_s),
        "call-orig-call-id": cdr.call_id,
        "call-orig-caller-id": cdr.term_caller_id,
        "call-orig-domain": cdr.domain,
        "call-orig-from-uri": cdr.orig_uri,
        "call-orig-from-user": user_part,
        "call-orig-from-host": host_part,
        "call-orig-match-uri": cdr.orig_uri,
        "call-orig-request-user": cdr.dialled,
        "call-orig-to-user": cdr.dialled,
        "call-orig-to-uri": cdr.term_uri,
        "call-orig-user": cdr.orig_user or cdr.user,
        "call-ringing-datetime": rfc3339(cdr.ringing_at),
        "call-start-datetime": rfc3339(cdr.started_at),
        "call-talking-duration-seconds": round(cdr.talking_s),
        "call-term-call-id": cdr.term_sip_call_id,
        "call-term-caller-id": cdr.orig_caller_id,
        "call-term-domain": cdr.term_uri.rpartition("@")[2],
        "call-term-to-uri": cdr.term_uri,
        "call-term-user": cdr.term_user or None,
        "call-total-duration-seconds": round(cdr.total_s),
        "core-server": cdr.node,
        "hide-from-results": 0,
        "is-trace-expected": False,
    }
    ours: dict[str, object] = {
        "call-id": cdr.call_id,
        "call-session-id": cdr.id,
        "call-by-user": cdr.user,
        "call-orig-answer-datetime": rfc3339(cdr.orig_answered_at),
        "call-orig-sip-call-id": cdr.orig_sip_call_id,
        "call-ended-by": cdr.ended_by,
        "release-cause": cdr.cause,
    }
    return {name: known.get(name) for name in CDR_NAMES} | ours


class CdrHandlers:
    """Handlers of CDRs."""

    def __init__(self, parts: ApiParts, calls: CallHandlers) -> None:
        self._store = parts.store
        self._calls = calls

    async def of_domain(self, request: Request) -> Answer:
        """List a domain's CDRs, newest first."""
        if await self._store.domain(request.domain) is None:
            raise no_such_domain(request.domain)
        return await self._page(request, user=None)

    async def of_user(self, request: Request) -> Answer:
        """List the CDRs of calls that a user made, newest first."""
        return await self._page(request, user=request.user)

    async def _page(self, request: Request, *, user: str | None) -> Answer:
        page = request.page()
        found = await self._store.cdrs(domain=request.domain, user=user, start=page.start, limit=page.limit)
        return page_answer([cdr_view(cdr) for cdr in found], page=page, path=request.path, total=None)

    async def of_call(self, request: Request) -> Answer:
        """Read the CDR of one call: 404 until the call is over."""
        call = await self._calls.readable(request)
        cdr = await self._store.cdr(DomainName(request.domain), call.session_id)
        if cdr is None:
            raise CallError(Refusal.NOT_FOUND, "no-cdr-yet", f"call {call.call_id} has no CDR yet")
        return json_answer(cdr_view(cdr))


def operations(handlers: CdrHandlers) -> list[Operation]:
    """Return the operations of CDRs."""
    many = Reply(200, "CDRs, newest first.", {"type": "array", "items": CDR_SCHEMA}, [CDR_EXAMPLE], ("Link",))
    return [
        Operation(
            name="list-domain-cdrs",
            method="GET",
            path="/ns-api/v2/domains/{domain}/cdrs",
            access=Access.DOMAIN,
            handle=handlers.of_domain,
            tag="CDRs",
            summary="List a domain's CDRs",
            query=PAGE_QUERY,
            replies=(many,),
        ),
        Operation(
            name="list-user-cdrs",
            method="GET",
            path="/ns-api/v2/domains/{domain}/users/{user}/cdrs",
            access=Access.USER,
            handle=handlers.of_user,
            tag="CDRs",
            summary="List the CDRs of a user's calls",
            query=PAGE_QUERY,
            replies=(many,),
        ),
        Operation(
            name="read-call-cdr",
            method="GET",
            path=USER_CALLS + "/{call-id}/cdr",
            access=Access.USER,
            handle=handlers.of_call,
            tag="CDRs",
            summary="Read the CDR of one call",
            replies=(Reply(200, "The CDR.", CDR_SCHEMA, CDR_EXAMPLE),),
            refusals=(503,),
        ),
    ]
