"""Call history: lists and counts of CDRs for a user, a domain and all that a token rules over (contract §6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlencode

import msgspec

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.access.ruled import own_since, ruled_domains
from ringbridge.api.calls.calls import CallHandlers
from ringbridge.api.cdrs.fields import Seen
from ringbridge.api.cdrs.places import Places, list_of
from ringbridge.api.cdrs.query import FILTERS, Asked, after_text, read_query
from ringbridge.api.cdrs.views import DOMAIN_VIEW, RAW_VIEW, USER_VIEW, CdrView, csv_text
from ringbridge.api.http.answers import Answer, HeaderPair, encode, json_answer
from ringbridge.api.http.requests import Request, header
from ringbridge.api.http.streamed import StreamedAnswer
from ringbridge.api.parts import ApiParts
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, Place
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import DomainName

COUNTED = 50_000
"""Up to here a page tells how many there are in all; counting more would take longer than the page."""
AT_ONCE = 500
"""CDRs in a chunk of CSV."""
ON_THE_LOOP = 50
"""CDRs that are rendered on the event loop, in under a millisecond; more go to a thread."""
CSV = b"text/csv; charset=utf-8; header=present"


class CdrTotalsView(msgspec.Struct, frozen=True, rename="kebab"):
    """How many calls, and how long they lasted together."""

    total: int
    call_total_duration_seconds: int


class CdrHandlers:
    """Handlers of CDRs."""

    def __init__(self, parts: ApiParts, calls: CallHandlers) -> None:
        self._store = parts.store
        self._clock = parts.clock
        self._calls = calls
        self._places = Places()

    async def of_all(self, request: Request) -> Answer:
        """List the CDRs of everything that the token rules over, newest first."""
        return await self._list(request, await self._asked_of_all(request), RAW_VIEW)

    async def of_domain(self, request: Request) -> Answer:
        """List a domain's CDRs, newest first."""
        return await self._list(request, await self._asked_of_domain(request), DOMAIN_VIEW)

    async def of_user(self, request: Request) -> Answer:
        """List the CDRs of the calls that a user made, or was called by, newest first."""
        asked = await self._asked_of_user(request)
        return await self._list(request, asked, USER_VIEW)

    async def count_of_all(self, request: Request) -> Answer:
        """Count and sum what the token rules over."""
        return await self._count(await self._asked_of_all(request))

    async def count_of_domain(self, request: Request) -> Answer:
        """Count and sum a domain's."""
        return await self._count(await self._asked_of_domain(request))

    async def count_of_user(self, request: Request) -> Answer:
        """Count and sum a user's."""
        return await self._count(await self._asked_of_user(request))

    async def of_call(self, request: Request) -> Answer:
        """Read the CDR of one call: 404 until the call is over."""
        call = await self._calls.readable(request)
        cdr = await self._store.cdr(DomainName(request.domain), call.session_id)
        if cdr is None:
            raise CallError(Refusal.NOT_FOUND, "no-cdr-yet", f"call {call.call_id} has no CDR yet")
        return json_answer(DOMAIN_VIEW.row(Seen(cdr)))

    # --- what is asked for ---

    async def _asked_of_all(self, request: Request) -> Asked:
        domains = await ruled_domains(self._store, request.principal)
        asked = read_query(request, now=self._clock.now(), domains=domains)
        return await self._of_this_tenant(request, asked, request.principal.domain)

    async def _asked_of_domain(self, request: Request) -> Asked:
        if await self._store.domain(request.domain) is None:
            raise no_such_domain(request.domain)
        asked = read_query(request, now=self._clock.now(), domains=(request.domain,))
        return await self._of_this_tenant(request, asked, request.domain)

    async def _asked_of_user(self, request: Request) -> Asked:
        # A user that was deleted still has a history; one that never was has an empty one.
        asked = read_query(request, now=self._clock.now(), domains=(request.domain,), user=request.user)
        return await self._of_this_tenant(request, asked, request.domain)

    async def _of_this_tenant(self, request: Request, asked: Asked, domain: str) -> Asked:
        """Return what is asked for without the calls of whoever had these names before."""
        since = max(asked.query.since, await own_since(self._store, request.principal, domain))
        return msgspec.structs.replace(asked, query=msgspec.structs.replace(asked.query, since=since))

    # --- what is answered ---

    async def _count(self, asked: Asked) -> Answer:
        totals = await self._store.count_cdrs(asked.query)
        return json_answer(CdrTotalsView(totals.total, totals.seconds))

    async def _list(self, request: Request, asked: Asked, view: CdrView) -> Answer:
        if wants_csv(header(request.scope, b"accept")):
            return self._csv(request, asked, view)
        listed = _listed(request)
        after, skip = asked.after, 0
        if after is None and asked.page.start > 1:
            after = self._places.find((listed, asked.page.start), now=self._clock.now())
            skip = 0 if after is not None else asked.page.start - 1
        page, totals = await asyncio.gather(
            self._store.cdrs(asked.query, limit=asked.page.limit, skip=skip, after=after),
            self._store.count_cdrs(asked.query, at_most=COUNTED + 1),
        )
        if page.last is not None:
            self._places.remember((listed, asked.page.start + asked.page.limit), page.last, now=self._clock.now())
        headers: list[HeaderPair] = [(b"link", _links(request, asked, page))]
        if totals.total <= COUNTED:
            headers.append((b"x-total-count", str(totals.total).encode()))
        rows = partial(_rows, view, page.cdrs, asked)
        body = await asyncio.to_thread(rows) if len(page.cdrs) > ON_THE_LOOP else rows()
        return Answer(200, body, headers=[*headers, (b"vary", b"accept")])

    def _csv(self, request: Request, asked: Asked, view: CdrView) -> Answer:
        """Return all that is asked for as CSV; only with a `limit` of its own it ends before the window does."""
        limit = asked.page.limit if "limit" in request.query else None
        name = "-".join(("cdrs", *(part for part in (request.domain, request.user) if part)))
        disposition = f'attachment; filename="{name}.csv"'
        return StreamedAnswer(
            self._csv_chunks(asked, view, limit),
            content_type=CSV,
            headers=[(b"content-disposition", disposition.encode()), (b"vary", b"accept")],
        )

    async def _csv_chunks(self, asked: Asked, view: CdrView, left: int | None) -> AsyncIterator[bytes]:
        after, skip = asked.after, asked.page.start - 1 if asked.after is None else 0
        yield csv_text([view.columns])
        while left is None or left > 0:
            limit = AT_ONCE if left is None else min(AT_ONCE, left)
            page = await self._store.cdrs(asked.query, limit=limit, skip=skip, after=after)
            if page.cdrs:
                yield await asyncio.to_thread(_lines, view, page.cdrs, asked)
            if not page.more or page.last is None:
                return
            after, skip = page.last, 0
            left = None if left is None else left - limit


def _seen(cdr: Cdr, asked: Asked) -> Seen:
    domain = asked.query.domains[0] if asked.query.domains else ""
    return Seen(cdr, asked.zone, domain=domain, user=asked.query.user or "")


def _rows(view: CdrView, cdrs: list[Cdr], asked: Asked) -> bytes:
    return encode([view.row(_seen(cdr, asked)) for cdr in cdrs])


def _lines(view: CdrView, cdrs: list[Cdr], asked: Asked) -> bytes:
    return csv_text([view.line(_seen(cdr, asked)) for cdr in cdrs])


def _filters(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query.items() if name not in ("start", "limit", "after")}


def _listed(request: Request) -> bytes:
    known = {name: value for name, value in _filters(request).items() if name in FILTERS}
    return list_of(request.principal.key_id, request.path, known)


def _links(request: Request, asked: Asked, page: CdrPage) -> bytes:
    """Return the `Link` header: relative references, so that no `Host` header of a client is repeated."""
    size, start = asked.page.limit, asked.page.start
    links = [_link(request, "first", start=1, limit=size)]
    if start > 1:
        links.append(_link(request, "prev", start=max(1, start - size), limit=size))
    if page.more and page.last is not None:
        links.append(_link(request, "next", start=start + size, limit=size, after=page.last))
    return ", ".join(links).encode()


def _link(request: Request, rel: str, *, start: int, limit: int, after: Place | None = None) -> str:
    query = _filters(request) | {"start": str(start), "limit": str(limit)}
    if after is not None:
        query["after"] = after_text(after)
    return f'<{request.path}?{urlencode(query)}>; rel="{rel}"'


def wants_csv(accept: bytes) -> bool:
    """Return whether an `Accept` header asks for CSV rather than JSON (RFC 9110 §12.5.1)."""
    quality = {"text/csv": 0.0, "application/json": 0.0}
    for part in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        if kind in quality and re.fullmatch(r"[01](\.[0-9]{0,3})?", weight):
            quality[kind] = float(weight)
    return quality["text/csv"] > quality["application/json"]
