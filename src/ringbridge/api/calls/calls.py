"""Calls: make, list, read, end (contract §3)."""

from __future__ import annotations

from urllib.parse import quote

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.access.ruled import own_since, ruled_domains
from ringbridge.api.calls.accepted import AcceptedCalls
from ringbridge.api.calls.explanations import CallExplanation, explanation
from ringbridge.api.calls.views import CallView, LadderView, call_view, ladder_view
from ringbridge.api.document.examples import CALL_REQUEST_EXAMPLE
from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.document.schemas import CALL_REQUEST_SCHEMA, PAGE_QUERY, QUERY_CALL_ID, QUERY_DRY_RUN
from ringbridge.api.http.answers import Accepted, Answer, Count, HeaderPair, accepted, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.place import Placed
from ringbridge.calls.ports import CallPage
from ringbridge.model import names
from ringbridge.model.call import Call
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import DomainName
from ringbridge.model.taking_part import is_of, is_theirs, is_up, users_in
from ringbridge.model.wire import CallOrder, read_call_order, shown

USER_CALLS = "/ns-api/v2/domains/{domain}/users/{user}/calls"
ALL_CALLS = "/ns-api/v2/calls"
DOMAIN_CALLS = "/ns-api/v2/domains/{domain}/calls"
READABLE_S = 86_400.0
"""How long an ended call is readable (contract §3)."""
MAX_IGNORED = 20
"""Names in `X-Ringbridge-Ignored`; a body of nothing else is not worth a longer header."""


def no_such_call(name: str) -> CallError:
    """Return the 404 of a call: the same whether it never was, is another's, or is long over."""
    return CallError(Refusal.NOT_FOUND, "no-such-call", f"no call {shown(name)}")


class CallHandlers:
    """Handlers of `…/calls`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._accepted = AcceptedCalls(parts.store, parts.replica, wait_s=parts.settings.sync_wait_s)

    async def make(self, request: Request) -> Answer:
        """Accept a call: 202, or with `synchronous` 200 with the resource once the local copy has it."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        order = read_call_order(
            body, domain=request.domain, user=request.user, query_call_id=request.query.get("callid")
        )
        if request.yes_no("dry-run"):
            return json_answer(await self._explained(order, request), headers=_ignored(order))
        try:
            placed = await self._parts.placer.place(order.request, request.principal, faults=order.faults)
        except CallError as refusal:
            self._parts.calls.refused(refusal)
            raise
        self._accepted.add(placed, user=request.user)
        headers = _headers(order, placed)
        if order.synchronous and (call := await self._applied(placed)) is not None:
            return json_answer(call_view(call), headers=headers)
        return accepted(placed.call_id, headers=headers)

    async def _explained(self, order: CallOrder, request: Request) -> CallExplanation:
        # Who only asks has no need of a name for the call.
        faults = [one for one in order.faults if (one.field, one.code) != ("call-id", "missing")]
        draft = await self._parts.placer.explain(order.request, request.principal, faults=faults)
        return explanation(order.request, draft)

    async def _applied(self, placed: Placed) -> Call | None:
        """Return the call as the local copy has it; None when the copy is late, which makes nothing undone."""
        wait_s = self._parts.settings.sync_wait_s
        if not await self._parts.replica.wait_calls(placed.sequence, timeout_s=wait_s):
            return None
        return await self._store.call(placed.domain, placed.call_id)

    async def list_of_all(self, request: Request) -> Answer:
        """List the active calls of every domain that the token rules over."""
        page = request.page()
        found = await self._of_all(request, start=page.start, limit=page.limit)
        return page_answer([call_view(call) for call in found.calls], page=page, path=request.path, total=found.total)

    async def count_of_all(self, request: Request) -> Answer:
        """Count the active calls of every domain that the token rules over."""
        return json_answer(Count((await self._of_all(request, start=1, limit=0)).total))

    async def _of_all(self, request: Request, *, start: int, limit: int) -> CallPage:
        principal = request.principal
        domains = await ruled_domains(self._store, principal)
        # Whoever rules over several had them too when they were others'.
        since = await own_since(self._store, principal, domains[0]) if domains else 0.0
        return await self._store.active_calls_of(domains, since=since, start=start, limit=limit)

    async def list_of_domain(self, request: Request) -> Answer:
        """List the active calls of a domain."""
        await self._known_domain(request)
        return await self._listed(request, None)

    async def count_of_domain(self, request: Request) -> Answer:
        """Count the active calls of a domain."""
        await self._known_domain(request)
        return await self._counted(request, None)

    async def list_of_user(self, request: Request) -> Answer:
        """List the active calls that a user made or takes part in."""
        await self._known_user(request)
        return await self._listed(request, request.user)

    async def count_of_user(self, request: Request) -> Answer:
        """Count the active calls that a user made or takes part in."""
        await self._known_user(request)
        return await self._counted(request, request.user)

    async def _listed(self, request: Request, user: str | None) -> Answer:
        """List what goes on, but for calls of somebody who had this domain's or user's name before."""
        page, since = request.page(), await own_since(self._store, request.principal, request.domain)
        found = await self._store.active_calls(
            domain=request.domain, user=user, since=since, start=page.start, limit=page.limit
        )
        return page_answer([call_view(call) for call in found.calls], page=page, path=request.path, total=found.total)

    async def _counted(self, request: Request, user: str | None) -> Answer:
        since = await own_since(self._store, request.principal, request.domain)
        return json_answer(Count(await self._store.count_active(domain=request.domain, user=user, since=since)))

    async def read(self, request: Request) -> Answer:
        """Read one call, by any of its ids."""
        return json_answer(call_view(await self.readable(request)))

    async def ladder(self, request: Request) -> Answer:
        """Read one call step by step."""
        return json_answer(ladder_view(await self.readable(request)))

    async def end(self, request: Request) -> Answer:
        """End a call in any state. An id that no call has is barred for a day, so that a late POST rings nobody."""
        name = request.params["call_id"]
        if not names.CALL_NAME.fullmatch(name):
            raise no_such_call(name)
        call = await self._store.call(DomainName(request.domain), name)
        if call is not None and await self._is_of_another(call, request):
            raise no_such_call(name)
        if call is None:
            await self._known_user(request)
            if not names.CALL_ID.fullmatch(name):
                raise no_such_call(name)
        by = f"key {request.principal.key_id}"
        if call is not None and _only_rings(call, request.user):
            await self._parts.control.reject(call, by=by)
        else:
            _check_in(call, request.user)
            await self._parts.control.end(call, domain=request.domain, user=request.user, name=name, by=by)
        return accepted(call.call_id if call is not None else name)

    async def readable(self, request: Request) -> Call:
        """Return the call that the path names, which the user made or has taken part in.

        Raises:
            CallError: there is none, or it ended more than a day ago; it was accepted, and the local copy is late.
        """
        name = request.params["call_id"]
        call = await self.known(request, name) if names.CALL_NAME.fullmatch(name) else None
        if call is None:
            raise no_such_call(name)
        return call

    async def known(self, request: Request, name: str) -> Call | None:
        """Return the call `name` if the user of the path made it or has taken part in it, for a day after it ended.

        Raises:
            CallError: it was accepted, and the local copy is late.
        """
        call = await self._accepted.call(DomainName(request.domain), name, user=request.user)
        if call is None or not is_of(call, request.user):
            return None
        is_old = call.ended_at and call.ended_at + READABLE_S < self._parts.clock.now()
        return None if is_old or await self._is_of_another(call, request) else call

    async def _is_of_another(self, call: Call, request: Request) -> bool:
        """Return whether it is a call of somebody who had this domain's or user's name before."""
        return call.requested_at < await own_since(self._store, request.principal, call.domain)

    async def controllable(self, request: Request) -> Call:
        """Return the call that the path names, which the user made or takes part in now.

        Raises:
            CallError: as `readable`; or they have left it, or the path names another party's leg of it.
        """
        call = await self.readable(request)
        _check_in(call, request.user)
        named = next((leg for leg in call.legs if leg.sip_call_id == request.params["call_id"]), None)
        if named is not None and request.user != call.user and not is_theirs(call, named, request.user):
            raise CallError(Refusal.FORBIDDEN, "not-your-leg", "the path names the leg of another party")
        return call

    async def _known_domain(self, request: Request) -> None:
        if await self._store.domain(request.domain) is None:
            raise no_such_domain(request.domain)

    async def _known_user(self, request: Request) -> None:
        if await self._store.user(request.domain, request.user) is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {request.user} in domain {request.domain}")


def _only_rings(call: Call, user: str) -> bool:
    """Return whether all that `user` has of a call is a phone that rings."""
    return user != call.user and user in users_in(call) and not is_up(call, user)


def _check_in(call: Call | None, user: str) -> None:
    """Let pass whoever may say what becomes of a call: its maker, and who is in it; anybody of one that is over.

    Raises:
        CallError: `user` was in it and has left.
    """
    if call is None or call.is_over or user == call.user or user in users_in(call) or not is_of(call, user):
        return
    raise CallError(Refusal.CONFLICT, "party-left", "this user was in the call and has left it")


def _headers(order: CallOrder, placed: Placed) -> list[HeaderPair]:
    headers: list[HeaderPair] = []
    if placed.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return headers + _ignored(order)


def _ignored(order: CallOrder) -> list[HeaderPair]:
    return [(b"x-ringbridge-ignored", ignored_header(order.ignored))] if order.ignored else []


def ignored_header(ignored: tuple[str, ...]) -> bytes:
    """Return the names of fields that had no effect, percent-encoded: they come from outside."""
    shown_names = [quote(shown(name), safe="") for name in ignored[:MAX_IGNORED]]
    return ", ".join([*shown_names, "..."] if len(ignored) > MAX_IGNORED else shown_names).encode()


def operations(handlers: CallHandlers) -> list[Operation]:
    """Return the operations of `…/calls`."""
    one = Reply(200, "The call.", CallView)
    many = Reply(200, "Active calls, oldest first.", list[CallView], ("Link", "X-Total-Count"))
    count = Reply(200, "How many.", Count)
    return [
        Operation(
            name="make-call",
            method="POST",
            path=USER_CALLS,
            access=Access.USER,
            handle=handlers.make,
            tag="Calls",
            summary="Make a call",
            description="Rings the origination; when it answers, rings the termination and joins both. One "
            "(domain, call-id) is one call for ever: the same request again gets the same answer and rings nobody. "
            "With `dry-run=yes` nothing is stored and nothing rings: the answer says what would ring, through which "
            "rule and connection, and every reason against it.",
            query=(QUERY_CALL_ID, QUERY_DRY_RUN),
            body=CALL_REQUEST_SCHEMA,
            body_example=CALL_REQUEST_EXAMPLE,
            replies=(
                Reply(
                    200,
                    "With `synchronous: yes`: the call, as its GET gives it. With `dry-run=yes`: what would ring.",
                    (CallView, CallExplanation),
                    ("Idempotent-Replayed", "X-Ringbridge-Ignored"),
                ),
                Reply(
                    202,
                    "Accepted, and durable: the call can be used at once.",
                    Accepted,
                    ("Idempotent-Replayed", "X-Ringbridge-Ignored"),
                ),
            ),
            refusals=(409, 429, 503),
        ),
        Operation(
            name="list-calls",
            method="GET",
            path=ALL_CALLS,
            access=Access.MANAGER,
            handle=handlers.list_of_all,
            tag="Calls",
            summary="List the active calls of every domain that the token rules over",
            query=PAGE_QUERY,
            replies=(many,),
        ),
        Operation(
            name="count-calls",
            method="GET",
            path=ALL_CALLS + "/count",
            access=Access.MANAGER,
            handle=handlers.count_of_all,
            tag="Calls",
            summary="Count the active calls of every domain that the token rules over",
            replies=(count,),
        ),
        Operation(
            name="list-user-calls",
            method="GET",
            path=USER_CALLS,
            access=Access.USER,
            handle=handlers.list_of_user,
            tag="Calls",
            summary="List a user's active calls",
            description="Those that the user made, and those in which a phone of theirs rings or is up: called, or "
            "transferred to.",
            query=PAGE_QUERY,
            replies=(many,),
        ),
        Operation(
            name="count-user-calls",
            method="GET",
            path=USER_CALLS + "/count",
            access=Access.USER,
            handle=handlers.count_of_user,
            tag="Calls",
            summary="Count a user's active calls",
            replies=(count,),
        ),
        Operation(
            name="list-domain-calls",
            method="GET",
            path=DOMAIN_CALLS,
            access=Access.DOMAIN,
            handle=handlers.list_of_domain,
            tag="Calls",
            summary="List a domain's active calls",
            query=PAGE_QUERY,
            replies=(many,),
        ),
        Operation(
            name="count-domain-calls",
            method="GET",
            path=DOMAIN_CALLS + "/count",
            access=Access.DOMAIN,
            handle=handlers.count_of_domain,
            tag="Calls",
            summary="Count a domain's active calls",
            replies=(count,),
        ),
        Operation(
            name="read-call",
            method="GET",
            path=USER_CALLS + "/{call-id}",
            access=Access.USER,
            handle=handlers.read,
            tag="Calls",
            summary="Read one call",
            description="By the application's `call-id`, the session id, or either leg's SIP Call-ID, for whoever made "
            "it or has taken part in it. Ended calls stay readable for 24 hours.",
            replies=(one,),
            refusals=(503,),
        ),
        Operation(
            name="read-call-ladder",
            method="GET",
            path=USER_CALLS + "/{call-id}/ladder",
            access=Access.USER,
            handle=handlers.ladder,
            tag="Calls",
            summary="Read one call step by step",
            replies=(Reply(200, "The steps, in order.", LadderView),),
            refusals=(503,),
        ),
        Operation(
            name="end-call",
            method="DELETE",
            path=USER_CALLS + "/{call-id}",
            access=Access.USER,
            handle=handlers.end,
            tag="Calls",
            summary="End a call, in any state",
            description="For whoever made it, also once they have left it by a transfer, and for whoever is in it; "
            "whoever is only being rung refuses it (`reject`). 409 `party-left` for whoever else was in it. Safe to "
            "repeat. An id that no call has yet answers 404 and is not dialled for 24 hours.",
            replies=(Reply(202, "Accepted.", Accepted),),
            refusals=(409, 503),
        ),
    ]
