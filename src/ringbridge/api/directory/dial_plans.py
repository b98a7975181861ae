"""Dial plans of a domain and the rules in them (contract §4). A plan is there as long as a rule is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ringbridge.api.directory.domains import DOMAINS, admit_domain
from ringbridge.api.directory.resource_operations import Served
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.http.answers import Answer, Count, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.directory import DialRule, Key, Record
from ringbridge.model.errors import Fault, invalid
from ringbridge.model.field_tables.checks import plan, segment
from ringbridge.model.resources import DIAL_RULE, change, make
from ringbridge.model.wire import shown

PLANS = DOMAINS + "/{domain}/dialplans"
RULES = PLANS + "/{dialplan}/dialrules"
TO_URI: Final = "dail-rule-matching-to-uri"
SERVED = Served(
    noun="dial rule",
    plural="dial rules",
    tag="Dial plans",
    collection=RULES,
    item=RULES + "/{dialrule}",
    given=("domain", "dial-rule-dial-plan"),
    create_title="CreateDialruleRequest",
    update_title="UpdateDialruleRequest",
)


class DialPlanView(msgspec.Struct, frozen=True, rename="kebab"):
    """A dial plan of a domain."""

    domain: str
    dial_plan: str
    dial_rules_count: int


class DialRuleRules:
    """Rules of the path's dial plan."""

    resource = DIAL_RULE

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def key(self, request: Request) -> Key:
        return (request.domain, request.params["dialplan"], request.params["dialrule"])

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain, "dial-rule-dial-plan": request.params["dialplan"]}

    def wanted(self, request: Request) -> RecordQuery:
        return RecordQuery(DIAL_RULE.kind, domain=request.domain, parent=request.params["dialplan"])

    async def admit(self, request: Request) -> None:
        name = request.params["dialplan"]
        if (must := plan(name)) is not None:
            raise invalid([Fault("dialplan", "bad-name", must, found=shown(name))])
        await admit_domain(self._parts, request)

    def belongs(self, _: Request, record: Record) -> bool:
        return isinstance(record, DialRule)

    async def made(self, _: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        """Return the rule; one that is given no name is named by what it matches."""
        name = values.get("dialrule") or values[TO_URI]
        if (must := segment(name)) is not None:
            raise invalid([Fault("dialrule", "bad-value", f"{must}; give the rule a name", found=shown(name))])
        return make(DIAL_RULE, {**values, "dialrule": name}), {}

    def changed(self, _: Request, record: Record, values: Mapping[str, str]) -> Record:
        return change(DIAL_RULE, record, values)

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        return [{} for _ in records]


class DialPlanHandlers:
    """Lists of dial plans."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def list_plans(self, request: Request) -> Answer:
        """List the dial plans that have rules."""
        await admit_domain(self._parts, request)
        page = request.page()
        found = await self._parts.store.count_by_parent(DIAL_RULE.kind, request.domain)
        views = [DialPlanView(request.domain, name, count) for name, count in found.items()]
        first = page.start - 1
        return page_answer(views[first : first + page.limit], page=page, path=request.path, total=len(views))

    async def count_plans(self, request: Request) -> Answer:
        """Count the dial plans that have rules."""
        await admit_domain(self._parts, request)
        return json_answer(Count(len(await self._parts.store.count_by_parent(DIAL_RULE.kind, request.domain))))


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of dial plans and their rules."""
    rules, plans = DialRuleRules(parts), DialPlanHandlers(parts)
    return [
        Operation(
            name="list-dial-plans",
            method="GET",
            path=PLANS,
            access=Access.DOMAIN,
            handle=plans.list_plans,
            tag=SERVED.tag,
            summary="List a domain's dial plans",
            query=PAGE_QUERY,
            replies=(Reply(200, "Dial plans.", list[DialPlanView], ("Link", "X-Total-Count")),),
        ),
        Operation(
            name="count-dial-plans",
            method="GET",
            path=PLANS + "/count",
            access=Access.DOMAIN,
            handle=plans.count_plans,
            tag=SERVED.tag,
            summary="Count a domain's dial plans",
            replies=(Reply(200, "How many.", Count),),
        ),
        *resource_operations(ResourceHandlers(parts, rules), rules, SERVED),
    ]
