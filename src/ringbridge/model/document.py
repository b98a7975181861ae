"""The directory as one document: what `ringbridge apply` sends and `export` gets (contract names, kebab-case).

    domains:
      - domain: demo
        users:
          - user: "1001"
            devices: [{device: "1001", device-sip-registration-password: secret}]
            answerrules: []
            api-keys: [{description: key of the CRM}]
        phonenumbers: []
        dialrules: []
        connections: []
        api-keys: []
    api-keys: []        # keys that belong to no domain
    prune: no           # yes: domains that are not named here are deleted

Reading it names every fault by its path, `domains[0].users[1].user-scope`, and decides nothing about what is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from ringbridge.model import login_password
from ringbridge.model.access import ANY
from ringbridge.model.device_password import PASSWORD, with_password
from ringbridge.model.dial_rules import CAPTURED, OWN_DOMAIN, connection_of
from ringbridge.model.directory import Device, DialRule, Domain, Key, PhoneNumber, Record, User, kind_of
from ringbridge.model.document_fields import KeyFields, read_record, read_resource
from ringbridge.model.errors import Fault, invalid
from ringbridge.model.resources import (
    ANSWER_RULE,
    CONNECTION,
    DEVICE,
    DIAL_RULE,
    DOMAIN,
    PHONE_NUMBER,
    USER,
    Resource,
)
from ringbridge.model.wire import json_type, shown

LISTS = ("users", "phonenumbers", "dialrules", "connections", "api-keys")
USER_LISTS = ("devices", "answerrules", "api-keys")
TO_CONNECTION = "to-connection"
TO_CONNECTION_OR_USER = "to-connection-or-user-no-failover"
KEY_DESCRIPTION_LENGTH = 12
"""Least characters of a key's description (contract §2)."""


class KeyOrder(msgspec.Struct, frozen=True):
    """An API key that the document wants; matched with what is there by domain, user and description."""

    path: str
    domain: str
    user: str
    fields: KeyFields

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.domain, self.user, self.fields.description)


class Document(msgspec.Struct, frozen=True):
    """A document without faults."""

    domains: tuple[str, ...]
    records: tuple[Record, ...]
    """In the order in which they can be written. Empty secrets mean: as stored."""
    keys: tuple[KeyOrder, ...]
    keyed: frozenset[tuple[str, str]]
    """The (domain, user) whose keys the document lists; other keys are left alone."""
    paths: dict[tuple[str, Key], str]
    """Where each record stands in the document, for later faults."""
    prune: bool = False


class _Reader:
    """Collects records and faults on the way through a document."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.records: dict[tuple[str, Key], Record] = {}
        self.paths: dict[tuple[str, Key], str] = {}
        self.keys: dict[tuple[str, str, str], KeyOrder] = {}
        self.keyed: set[tuple[str, str]] = set()

    def add(self, record: Record | None, path: str) -> None:
        if record is None:
            return
        place = (kind_of(record), record.key)
        if place in self.records:
            message = f"is there twice; first at {self.paths[place]}"
            self.faults.append(Fault(path, "twice", message, found="/".join(record.key)))
            return
        self.records[place] = record
        self.paths[place] = path

    def objects(self, holder: Mapping[str, object], name: str, path: str) -> Iterator[tuple[dict[str, object], str]]:
        """Yield the objects of a list and their paths; anything else becomes a fault."""
        listed = holder.get(name)
        if listed is None:
            return
        at = f"{path}.{name}" if path else name
        if not isinstance(listed, list):
            self.faults.append(Fault(at, "wrong-type", "must be a list", found=json_type(listed), allowed="a list"))
            return
        for place, one in enumerate(listed):
            if isinstance(one, dict):
                yield one, f"{at}[{place}]"
            else:
                fault = Fault(f"{at}[{place}]", "wrong-type", "must be an object", allowed="an object")
                self.faults.append(fault)

    def read_keys(self, holder: Mapping[str, object], path: str, *, domain: str, user: str) -> None:
        if holder.get("api-keys") is not None:
            self.keyed.add((domain, user))
        for raw, at in self.objects(holder, "api-keys", path):
            fields = read_record(KeyFields, raw, at, self.faults, given={"domain": domain, "user": user})
            if fields is None:
                continue
            if len(fields.description) < KEY_DESCRIPTION_LENGTH:
                message = f"must have at least {KEY_DESCRIPTION_LENGTH} characters"
                self.faults.append(Fault(f"{at}.description", "too-short", message, found=fields.description))
            order = KeyOrder(at, domain, user, fields)
            if order.identity in self.keys:
                self.faults.append(Fault(f"{at}.description", "twice", "another key here has this description"))
            self.keys[order.identity] = order

    def read_one(
        self,
        resource: Resource,
        raw: Mapping[str, object],
        path: str,
        *,
        given: Mapping[str, str] | None = None,
        also: Collection[str] = (),
    ) -> Record | None:
        """Read one record and add it."""
        read = read_resource(resource, raw, path, self.faults, given=given, also=also)
        if read is None:
            return None
        record, values = read
        if isinstance(record, Device) and values.get(PASSWORD):
            record = with_password(record, values[PASSWORD])
        self.add(record, path)
        return record

    def read_domain(self, raw: dict[str, object], path: str) -> str:
        domain = self.read_one(DOMAIN, raw, path, also=LISTS)
        # What stands inside a faulty domain is read all the same, for its own faults.
        name = domain.domain if domain else str(raw.get("domain", ""))
        given = {"domain": name}
        for item, at in self.objects(raw, "connections", path):
            self.read_one(CONNECTION, item, at, given=given)
        plan = (domain.dial_plan if isinstance(domain, Domain) else "") or name
        for item, at in self.objects(raw, "dialrules", path):
            defaults = {"dial-rule-dial-plan": plan, "dialrule": str(item.get("dail-rule-matching-to-uri", ""))}
            self.read_one(DIAL_RULE, defaults | item, at, given=given)
        for item, at in self.objects(raw, "users", path):
            self.read_user(item, at, name)
        for item, at in self.objects(raw, "phonenumbers", path):
            self.read_one(PHONE_NUMBER, item, at, given=given)
        self.read_keys(raw, path, domain=name, user=ANY)
        return name

    def read_user(self, raw: dict[str, object], path: str, domain: str) -> None:
        if raw.get(login_password.FIELD) is not None:
            message = "is set by PUT or POST of the user, not by a document: it would end every login each time"
            self.faults.append(Fault(f"{path}.{login_password.FIELD}", "not-in-documents", message))
        user = self.read_one(USER, raw, path, given={"domain": domain}, also=(*USER_LISTS, login_password.FIELD))
        name = user.key[-1] if user else str(raw.get("user", ""))
        given = {"domain": domain, "user": name}
        for item, at in self.objects(raw, "devices", path):
            self.read_one(DEVICE, item, at, given=given)
        for item, at in self.objects(raw, "answerrules", path):
            self.read_one(ANSWER_RULE, item, at, given=given)
        self.read_keys(raw, path, domain=domain, user=name)

    def check_references(self) -> None:
        """Name what points at nothing (owners of numbers, connections of dial rules), and logins of two users."""
        logins: dict[str, str] = {}
        for (kind, key), record in self.records.items():
            path = self.paths[kind, key]
            match record:
                case PhoneNumber(domain=domain, user=user) if user and ("user", (domain, user)) not in self.records:
                    self.faults.append(Fault(f"{path}.user", "unknown-user", "no such user in this domain", found=user))
                case User(login_username=login) if login:
                    first = logins.setdefault(login.lower(), path)
                    if first != path:
                        message = f"is there twice; first at {first}"
                        self.faults.append(Fault(f"{path}.login-username", "twice", message, found=shown(login)))
                case DialRule() if _connects(record):
                    name = connection_of(record.dial_rule_application, record.dial_rule_parameter)
                    if ("connection", (record.domain, name)) not in self.records:
                        message = "no such connection in this domain"
                        fault = Fault(
                            f"{path}.dial-rule-parameter",
                            "unknown-connection",
                            message,
                            found=record.dial_rule_parameter,
                        )
                        self.faults.append(fault)
                case _:
                    pass


def _connects(rule: DialRule) -> bool:
    """Whether the rule needs the very connection that it names: not one that may be a user's, or is made by a call."""
    application, parameter = rule.dial_rule_application, rule.dial_rule_parameter
    made_by_a_call = CAPTURED in parameter or OWN_DOMAIN in parameter
    return application.startswith(TO_CONNECTION) and application != TO_CONNECTION_OR_USER and not made_by_a_call


def read_document(raw: Mapping[str, object]) -> Document:
    """Return the directory that `raw` describes.

    Raises:
        CallError: it has faults; all of them are named by path.
    """
    reader = _Reader()
    for name in raw:
        if name not in ("domains", "api-keys", "prune"):
            reader.faults.append(Fault(name, "unknown-field", "is not known here", allowed="domains, api-keys, prune"))
    names = [reader.read_domain(item, path) for item, path in reader.objects(raw, "domains", "")]
    reader.read_keys(raw, "", domain=ANY, user=ANY)
    prune = raw.get("prune", "no")
    if prune not in ("yes", "no", True, False):
        reader.faults.append(Fault("prune", "not-one-of", "must be yes or no", allowed="yes, no"))
    reader.check_references()
    if reader.faults:
        raise invalid(reader.faults)
    return Document(
        domains=tuple(names),
        records=tuple(reader.records.values()),
        keys=tuple(reader.keys.values()),
        keyed=frozenset(reader.keyed),
        paths=reader.paths,
        prune=prune in ("yes", True),
    )
