"""What a dial plan does with a number, asked without a call (ours): which rules were tried, and why one won."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.dial_plans import Tries, try_rules
from ringbridge.model import names
from ringbridge.model.dial_plan import Dialling
from ringbridge.model.dial_rules import Match, translate
from ringbridge.model.dial_times import zone_of
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.numbers import parse_party
from ringbridge.model.wire import control_fault, shown

TEST: Final = "/ns-api/v2/domains/{domain}/dialplans/{dialplan}/test"
MAX_TRIED: Final = 100
"""Rules that an answer shows of those that were tried."""


class TriedView(msgspec.Struct, frozen=True, rename="kebab"):
    """One rule that was tried, and why it was passed over, or won."""

    dialrule: str
    dial_rule_dial_plan: str
    dail_rule_matching_to_uri: str
    dial_rule_application: str
    matched: str
    reason: str


class DialTest(msgspec.Struct, frozen=True, rename="kebab"):
    """What a dial plan does with a number; the fields of the rule are empty where none wins.

    A `source-…` is null where the rule leaves that part of the caller ID as it is.
    """

    dial_plan: str
    to: str
    from_: str = msgspec.field(name="from")
    at: str = ""
    rules_total: int = 0
    tried_total: int = 0
    tried: tuple[TriedView, ...] = ()
    dialrule: str = ""
    dial_rule_application: str = ""
    dial_rule_parameter: str = ""
    destination_user: str = ""
    destination_host: str = ""
    source_name: str | None = None
    source_user: str | None = None
    source_host: str | None = None
    reason: str = ""


def read_moment(text: str) -> datetime | None:
    """Return the moment that a date-time of the API means; None where it means none (contract §1)."""
    head, space, tail = text.rpartition(" ")
    if space and ":" in head and ":" in tail:  # a `+` that the query's encoding made a space
        text = f"{head}+{tail}"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def tried_views(tries: Tries) -> tuple[TriedView, ...]:
    """Return how the rules that were tried are told."""
    return tuple(
        TriedView(
            dialrule=one.rule.dialrule,
            dial_rule_dial_plan=one.rule.dial_rule_dial_plan,
            dail_rule_matching_to_uri=one.rule.dail_rule_matching_to_uri,
            dial_rule_application=one.rule.dial_rule_application,
            matched="yes" if one.match is not None else "no",
            reason=_won(one.match, tries) if one.match is not None else one.reason,
        )
        for one in tries.tried[:MAX_TRIED]
    )


def _won(match: Match, tries: Tries) -> str:
    if match != tries.match:
        return "matches, and comes after the rule that wins"
    return f"is the first that matches; [*] is {match.captured}"


class TrialHandlers:
    """Handlers of `…/dialplans/{dialplan}/test`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def test(self, request: Request) -> Answer:
        """Say which rules are tried for a number, and which one wins."""
        plan, query = request.params["dialplan"], request.query
        domain = await self._parts.store.domain(request.domain)
        if domain is None:
            raise no_such_domain(request.domain)
        if not names.DOMAIN.fullmatch(plan):
            raise _no_such_plan(plan)
        to, source, application = query.get("to", ""), query.get("from", ""), query.get("dial-rule-application", "call")
        faults = _faults(to, source, application)
        user = await self._parts.store.user(domain.domain, source)
        zone = zone_of((user.time_zone if user else "", domain.time_zone))
        at = self._moment(query.get("at"), faults)
        if faults:
            raise invalid(faults)
        party = parse_party(to)
        name = party.name if party else to
        call = Dialling(
            to_uri=f"sip:{name}@{domain.domain}",
            from_uri=f"sip:{source}@{domain.domain}",
            application=application,
            at=at.astimezone(zone),
        )
        tries = await try_rules(self._parts.store, domain=domain.domain, plan=plan, number=name, call=call)
        if not tries.rules and not tries.tried:
            raise _no_such_plan(plan)
        return json_answer(_view(plan, name, source, call, tries, domain.domain))

    def _moment(self, text: str | None, faults: list[Fault]) -> datetime:
        now = datetime.fromtimestamp(self._parts.clock.now(), UTC)
        if text is None:
            return now
        found = read_moment(text)
        if found is None or not 1 < found.year < 9999:
            allowed = "YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339"
            faults.append(Fault("at", "not-a-date-time", f"must be {allowed}", shown(text), allowed))
            return now
        return found


def _faults(to: str, source: str, application: str) -> list[Fault]:
    faults = []
    if not to:
        faults.append(Fault("to", "missing", "is required"))
    elif (control := control_fault("to", to)) is not None:
        faults.append(control)
    elif parse_party(to) is None:
        faults.append(Fault("to", "not-a-number", "is neither a number nor an extension", shown(to)))
    for name, text in (("from", source), ("dial-rule-application", application)):
        if text and not names.DEVICE.fullmatch(text):
            allowed = "letters, digits and . _ -"
            faults.append(Fault(name, "bad-characters", f"must be {allowed}", shown(text), allowed))
    return faults


def _no_such_plan(plan: str) -> CallError:
    return CallError(Refusal.NOT_FOUND, "no-such-dial-plan", f"no dial plan {shown(plan)}")


def _view(plan: str, to: str, source: str, call: Dialling, tries: Tries, domain: str) -> DialTest:
    view = DialTest(
        dial_plan=plan,
        to=to,
        from_=source,
        at=call.at.isoformat(),
        rules_total=tries.rules,
        tried_total=len(tries.tried),
        tried=tried_views(tries),
        reason=f"none of {tries.rules} rules matches",
    )
    if tries.match is None:
        return view
    sent = translate(tries.match, dialled=to.removeprefix("+"), domain=domain)
    return msgspec.structs.replace(
        view,
        dialrule=sent.rule,
        dial_rule_application=sent.application,
        dial_rule_parameter=sent.parameter,
        destination_user=sent.user,
        destination_host=sent.host,
        source_name=sent.shown.name,
        source_user=sent.shown.user,
        source_host=sent.shown.host,
        reason=f"rule {sent.rule} is the first of {tries.rules} that matches; [*] is {tries.match.captured}",
    )


def operations(handlers: TrialHandlers) -> list[Operation]:
    """Return the operations of dial plans."""
    text = {"type": "string", "maxLength": 128}
    word = text | {"pattern": "^[A-Za-z0-9._-]{0,64}$"}
    return [
        Operation(
            name="test-dial-plan",
            method="GET",
            path=TEST,
            access=Access.DOMAIN,
            handle=handlers.test,
            tag="Dial plans",
            summary="See which dial rule a number takes, and why",
            description="Rules are tried in order: first those that carry the application asked for, and among equals "
            "the more specific pattern, then the more specific source, then a rule with a time window. Rules that "
            "cannot match by their literal characters are passed over without being tried.",
            query=(
                QueryField("to", "The number or extension that is dialled.", text | {"minLength": 1}, required=True),
                QueryField("from", "The user who dials; its time zone counts.", word),
                QueryField(
                    "at",
                    "When: `YYYY-MM-DD HH:MM:SS` in UTC, or RFC 3339. Default: now.",
                    {"type": "string", "format": "date-time"},
                ),
                QueryField("dial-rule-application", "As in the request for a call.", word | {"default": "call"}),
            ),
            replies=(Reply(200, "The rules that were tried, and what the one that won does.", DialTest),),
        )
    ]
