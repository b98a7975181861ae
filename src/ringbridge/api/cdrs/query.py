"""What the query of a list of CDRs asks for, read with every fault named at once (contract §6)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ringbridge.api.document.operations import QueryField
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.http.answers import Page
from ringbridge.api.http.requests import Request
from ringbridge.model.cdr import Direction
from ringbridge.model.cdr_query import CdrQuery, Place, plain
from ringbridge.model.errors import CallError, Fault, invalid
from ringbridge.model.names import CONTROL
from ringbridge.model.wire import shown

DAY_S: Final = 86_400.0
TIME: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?P<offset>Z|[+ -]\d\d:?\d\d)?)?"
    r"(?:\[(?P<zone>[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2})\])?",
    re.ASCII | re.IGNORECASE,
)
TIME_ALLOWED: Final = "a time as 2026-11-24T13:00:00Z, with Z or an offset, and [Area/City] for the zone of the answer"
AFTER: Final = re.compile(r"(?P<at>\d{1,11}(?:\.\d{1,12})?)_(?P<id>[A-Za-z0-9._-]{1,64})", re.ASCII)
MAX_TEXT: Final = 64

TYPES: Final[dict[str, frozenset[Direction]]] = {
    "outbound": frozenset({Direction.OUTBOUND}),
    "inbound": frozenset({Direction.INBOUND}),
    "missed": frozenset({Direction.MISSED}),
    "received": frozenset({Direction.INBOUND, Direction.MISSED}),
    **{str(one.value): frozenset({one}) for one in Direction if one is not Direction.ON_NET},
}
ON_NET_TYPES: Final = {"on-net": True, "3": True, "off-net": False}
TYPES_ALLOWED: Final = ("Inbound", "Outbound", "On-net", "Off-net", "Missed", "Received", "0", "1", "2", "3")

_TEXT_SCHEMA: Final[dict[str, object]] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
WINDOW_QUERY: Final = (
    QueryField(
        "datetime-start",
        "Calls that began then or later; default: a day before the end. Without offset it is UTC.",
        {"type": "string", "examples": ["2026-11-24T13:00:00Z", "2026-11-24 13:00:00", "2026-11-24T13:00:00+01:00"]},
    ),
    QueryField(
        "datetime-end",
        "Calls that began then or earlier; default: now.",
        {"type": "string", "examples": ["2026-11-25T13:00:00Z[Europe/Copenhagen]"]},
    ),
    QueryField(
        "type",
        "Direction as the domain, or in a user's list that user, sees it: Outbound or 0, Inbound or 1 (answered), "
        "Missed or 2, On-net or 3 (both are ours), Off-net, Received (Inbound and Missed).",
        {"type": "string", "enum": list(TYPES_ALLOWED)},
    ),
    QueryField("caller", "The first leg's user, or its number where that is outside.", _TEXT_SCHEMA),
    QueryField("dialled", "The extension or number that was dialled.", _TEXT_SCHEMA),
    QueryField("site", "Site of one of the two users.", _TEXT_SCHEMA),
)
FILTERS: Final = frozenset(field.name for field in WINDOW_QUERY)
"""What narrows a list; any other name in a query means nothing."""
LIST_QUERY: Final = (
    *WINDOW_QUERY,
    *PAGE_QUERY,
    QueryField(
        "after",
        "Go on behind this CDR: as `Link` has it. Deep pages are as fast as the first, and none is told twice.",
        {"type": "string", "pattern": "^[0-9]{1,11}(\\.[0-9]{1,12})?_[A-Za-z0-9._-]{1,64}$"},
    ),
)


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for."""

    query: CdrQuery
    page: Page
    after: Place | None
    zone: tzinfo
    """The time zone of the answer: that of `datetime-start`."""


def read_query(request: Request, *, now: float, domains: tuple[str, ...] | None, user: str | None = None) -> Asked:
    """Return what `request` asks for, of those `domains` and that `user`.

    Raises:
        CallError: something in it is wrong; all of it is named.
    """
    faults: list[Fault] = []
    page = Page()
    try:
        page = request.page()
    except CallError as error:
        faults += error.faults
    since, zone = query_time(request, "datetime-start", faults)
    until, _ = query_time(request, "datetime-end", faults)
    if since is None:
        since = (now if until is None else until) - DAY_S
    elif since > (now if until is None else until):
        message = "is after datetime-end" if until is not None else "is in the future"
        faults.append(Fault("datetime-start", "empty-window", message, shown(request.query["datetime-start"])))
    directions, on_net = _type(request, faults)
    query = CdrQuery(
        domains=domains,
        user=user,
        since=since,
        # Open at the end, so that a call which another node's clock put into the future is in the list too.
        until=math.inf if until is None else until,
        directions=directions,
        on_net=on_net,
        caller=plain(_text(request, "caller", faults)),
        dialled=plain(_text(request, "dialled", faults)),
        site=_text(request, "site", faults),
    )
    after = _after(request, faults)
    if faults:
        raise invalid(faults)
    return Asked(query, page, after, zone or UTC)


def after_text(place: Place) -> str:
    """Return a place as the query's `after` has it."""
    return f"{place.started_at!r}_{place.id}"


def query_time(request: Request, name: str, faults: list[Fault]) -> tuple[float | None, tzinfo | None]:
    """Return the time that a field of the query names and its zone; what is wrong with it is added to `faults`."""
    text = request.query.get(name)
    if text is None:
        return None, None
    found = TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(name)
        zone = ZoneInfo(found["zone"]) if found["zone"] else None
        # A `+` that was not percent-encoded arrives as a blank.
        offset = (found["offset"] or "Z").replace(" ", "+")
        at = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}{offset.upper()}")
        return at.timestamp(), zone or at.tzinfo
    except ZoneInfoNotFoundError:
        faults.append(Fault(name, "unknown-time-zone", "names an unknown time zone", shown(text), TIME_ALLOWED))
    except (ValueError, OverflowError, OSError):
        faults.append(Fault(name, "not-a-time", f"must be {TIME_ALLOWED}", shown(text), TIME_ALLOWED))
    return None, None


def _type(request: Request, faults: list[Fault]) -> tuple[frozenset[Direction] | None, bool | None]:
    text = request.query.get("type")
    if text is None:
        return None, None
    low = text.lower()
    if low not in TYPES and low not in ON_NET_TYPES:
        allowed = ", ".join(TYPES_ALLOWED)
        faults.append(Fault("type", "not-one-of", f"must be one of: {allowed}", shown(text), allowed))
    return TYPES.get(low), ON_NET_TYPES.get(low)


def _text(request: Request, name: str, faults: list[Fault]) -> str:
    text = request.query.get(name)
    if text is None:
        return ""
    if not text.strip() or len(text) > MAX_TEXT or CONTROL.search(text):
        allowed = f"1 to {MAX_TEXT} characters, no control character among them"
        faults.append(Fault(name, "bad-text", f"must be {allowed}", shown(text), allowed))
    return text.strip()


def _after(request: Request, faults: list[Fault]) -> Place | None:
    text = request.query.get("after")
    if text is None:
        return None
    found = AFTER.fullmatch(text)
    if found is None:
        faults.append(Fault("after", "bad-place", "is no place in this list", shown(text), "as a Link header has it"))
        return None
    return Place(float(found["at"]), found["id"])
