"""Phone numbers of a domain, and of all domains that a token rules over (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ringbridge.api.directory.domains import DOMAINS, admit_domain, ruled
from ringbridge.api.directory.resource_operations import Served, list_operations
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.document.operations import Access, Operation
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.directory import Key, PhoneNumber, Record
from ringbridge.model.field_tables.checks import bare_number
from ringbridge.model.resources import PHONE_NUMBER, change, make

NUMBERS = DOMAINS + "/{domain}/phonenumbers"
SERVED = Served(
    noun="phone number",
    plural="phone numbers",
    tag="Phone numbers",
    collection=NUMBERS,
    item=NUMBERS + "/{phonenumber}",
    given=("domain",),
    create_title="CreatePhonenumberRequest",
    update_title="UpdatePhonenumberRequest",
)
EVERYWHERE = Served(
    noun="",
    plural="all phone numbers",
    tag="Phone numbers",
    collection="/ns-api/v2/phonenumbers",
    item="",
    given=(),
    create_title="",
    update_title="",
    list_access=Access.MANAGER,
)


class PhoneNumberRules:
    """Numbers of the path's domain; without one, of all that the token rules over."""

    resource = PHONE_NUMBER

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def key(self, request: Request) -> Key:
        return (request.domain, bare_number(request.params["phonenumber"]))

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain}

    def wanted(self, request: Request) -> RecordQuery:
        if "domain" in request.params:
            return RecordQuery(PHONE_NUMBER.kind, domain=request.domain)
        return ruled(PHONE_NUMBER.kind, request.principal)

    async def admit(self, request: Request) -> None:
        if "domain" in request.params:
            await admit_domain(self._parts, request)

    def belongs(self, _: Request, record: Record) -> bool:
        return isinstance(record, PhoneNumber)

    async def made(self, _: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        return make(PHONE_NUMBER, values), {}

    def changed(self, _: Request, record: Record, values: Mapping[str, str]) -> Record:
        return change(PHONE_NUMBER, record, values)

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        return [{} for _ in records]


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of phone numbers."""
    rules = PhoneNumberRules(parts)
    handlers = ResourceHandlers(parts, rules)
    return [
        *resource_operations(handlers, rules, SERVED),
        *list_operations(handlers, rules, EVERYWHERE),
    ]
