"""What a live event stream may tell: what the token sees in the lists of calls, narrowed by the query."""

from __future__ import annotations

from typing import Final, cast

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.access.ruled import own_since, ruled_domains
from ringbridge.api.document.operations import QueryField
from ringbridge.calls.events.live import EventModel, Reach
from ringbridge.calls.ports import Store
from ringbridge.model import names
from ringbridge.model.access import ANY, Principal
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.event_marks import MARK_PATTERN, Mark, parse_mark
from ringbridge.model.wire import shown

MODELS: Final = ("call", "cdr")
LAST_EVENT_ID: Final = QueryField(
    "Last-Event-ID", "As `after`; it wins where both are there.", {"type": "string", "pattern": MARK_PATTERN}
)
QUERY: Final = (
    QueryField("domain", "Only this domain's calls.", {"type": "string", "pattern": f"^{names.DOMAIN.pattern}$"}),
    QueryField(
        "user",
        "Only calls that this user made or takes part in; of the token's own domain where `domain` names none.",
        {"type": "string", "pattern": f"^{names.USER.pattern}$"},
    ),
    QueryField(
        "call-id",
        "Only this call, by its `call-id` or session id.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{names.CALL_NAME.pattern}$"},
    ),
    QueryField(
        "model",
        "`call`: a call each time that it changes. `cdr`: the CDR of each call that is over.",
        {"type": "string", "enum": list(MODELS), "default": "call"},
    ),
    QueryField(
        "after",
        "The `id` of the event to go on behind, from any node.",
        {"type": "string", "pattern": MARK_PATTERN},
    ),
)


class Wish(Reach, frozen=True):
    """What a client asks for; `domain` and `user` are empty where it names none."""

    domain: str = ""
    after: Mark | None = None


def read_wish(query: dict[str, str], last_event_id: str) -> Wish:
    """Return what a request asks for.

    Raises:
        CallError: a field is malformed; all of them are named.
    """
    faults: list[Fault] = []
    for field, pattern, allowed in (
        ("domain", names.DOMAIN, "1 to 64 letters, digits and . _ -"),
        ("user", names.USER, "1 to 16 letters, digits and . _ -"),
        ("call-id", names.CALL_NAME, "1 to 255 characters without spaces or /"),
    ):
        text = query.get(field)
        if text is not None and not pattern.fullmatch(text):
            faults.append(Fault(field, "bad-name", f"is no {field}", found=shown(text), allowed=allowed))
    model = query.get("model", "call")
    if model not in MODELS:
        allowed = ", ".join(MODELS)
        faults.append(Fault("model", "not-one-of", f"must be one of {allowed}", found=shown(model), allowed=allowed))
    after = None
    field, text = ("Last-Event-ID", last_event_id) if last_event_id else ("after", query.get("after", ""))
    if text:
        try:
            after = parse_mark(text)
        except ValueError:
            message = "is no id of an event of these streams"
            faults.append(Fault(field, "bad-event-id", message, found=shown(text), allowed="the id of an event"))
    if faults:
        raise invalid(faults)
    return Wish(
        domains=None,
        user=query.get("user", ANY),
        call=query.get("call-id", ""),
        model=cast("EventModel", model),
        domain=query.get("domain", ""),
        after=after,
    )


async def reach_of(store: Store, principal: Principal, wish: Wish) -> Reach:
    """Return what `principal` is told of what it asks for.

    Raises:
        CallError: 404, a domain or user that is not there, or another tenant's; 403, not for this token; 400, a user
            without a domain.
    """
    if not principal.may_use(wish.model):
        raise CallError(Refusal.FORBIDDEN, "model-not-allowed", "the token's allowed-models do not hold this")
    rules_several = principal.rules_reseller(ANY)
    domain = wish.domain or ("" if rules_several or principal.domain == ANY else principal.domain)
    if not domain and wish.user != ANY:
        message = "is needed beside user, as this token belongs to no single domain"
        raise invalid([Fault("domain", "missing", message, allowed="a domain")])
    if not domain:
        return await _of_all(store, principal, wish)
    record = await store.domain(domain)
    reseller = record.reseller if record else ""
    if record is None or not principal.may_know_of(domain, reseller=reseller):
        raise no_such_domain(domain)
    user = wish.user
    if not principal.rules_domain(domain, reseller=reseller):
        user = principal.user if user == ANY else user
        if user == ANY or not principal.rules_user(domain, user, reseller=reseller):
            whom = "the whole domain" if user == ANY else f"user {user}"
            raise CallError(Refusal.FORBIDDEN, "not-allowed", f"this token may not act for {whom}")
    if user != ANY and await store.user(domain, user) is None:
        raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {user} in domain {domain}")
    since = await own_since(store, principal, domain)
    return Reach(frozenset({domain}), user, wish.call, wish.model, since)


async def _of_all(store: Store, principal: Principal, wish: Wish) -> Reach:
    """Return the reach of a token that belongs to no domain, or rules over several."""
    if not principal.is_manager:
        raise CallError(Refusal.FORBIDDEN, "not-allowed", "this token may not act for a whole domain")
    domains = await ruled_domains(store, principal)
    return Reach(None if domains is None else frozenset(domains), ANY, wish.call, wish.model)
