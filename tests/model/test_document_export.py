"""An exported directory, applied, changes nothing: every field of every resource, whatever is in it."""

from __future__ import annotations

import json
import random
from functools import cache

import msgspec
import pytest

from ringbridge.model.device_password import with_password
from ringbridge.model.directory import Device, Domain, Record, kind_of
from ringbridge.model.document import read_document
from ringbridge.model.document_export import export_document
from ringbridge.model.fields import Form, Role, WrongValue, read_value
from ringbridge.model.provisioning import changed_fields, with_kept_secrets
from ringbridge.model.resources import (
    ANSWER_RULE,
    CONNECTION,
    DEVICE,
    DIAL_RULE,
    DOMAIN,
    PHONE_NUMBER,
    RESOURCES,
    USER,
    Resource,
    make,
    stamped,
)

OF_FORM: dict[Form, list[str]] = {
    Form.YES_NO: ["yes", "no"],
    Form.TRUTH: ["yes", "no"],
    Form.WHOLE: ["0", "7", "120"],
    Form.DECIMAL: ["1.5"],
    Form.DIGITS: ["0045", "4570102030"],
    Form.DATE_TIME: ["2026-01-02 03:04:05", "2026-01-02T03:04:05+02:00"],
    Form.JSON: ['{"enabled":"yes","parameters":["1002",5]}'],
    Form.TEXT: ["a", "yes", "0045", "Zoë: “x”", "*", "10:00", "UTC", "udp", "mon-fri", "127.0.0.1:5060", "sip:1XX@*"],
}
"""Candidates; those that the field's own check refuses are left out."""


@cache
def allowed(kind: str, name: str) -> list[str]:
    field = RESOURCES[kind].field(name)
    assert field is not None
    found = []
    for text in field.enum or [*OF_FORM[field.form], *filter(None, [field.example])]:
        value: object = json.loads(text) if field.form is Form.JSON else text
        try:
            found.append(read_value(field, value))
        except WrongValue:
            continue
    assert found, field.name
    return found


def record(resource: Resource, names: dict[str, str], chosen: random.Random) -> Record:
    """Return a record of these names with any of the other fields, secrets and times included."""
    values = dict(names)
    for field in resource.fields:
        is_needed = field.name == "dail-rule-matching-to-uri"
        if field.name in (*names, "user") or field.role not in (Role.KEPT, Role.SECRET):
            continue
        if is_needed or chosen.random() < 0.5:
            values[field.name] = chosen.choice(allowed(resource.kind, field.name))
    return stamped(resource, make(resource, values), 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_an_export_read_back_is_what_is_stored(seed: int) -> None:
    chosen = random.Random(seed)
    device = record(DEVICE, {"domain": "demo", "user": "1001", "device": "1001"}, chosen)
    assert isinstance(device, Device)
    rule = record(DIAL_RULE, {"domain": "demo", "dial-rule-dial-plan": "night", "dialrule": "all"}, chosen)
    stored = [
        record(CONNECTION, {"domain": "demo", "connection-orig-match-pattern": "carrier"}, chosen),
        # The document asks that a rule's connection is there.
        msgspec.structs.replace(rule, dial_rule_parameter="carrier"),
        record(USER, {"domain": "demo", "user": "1001"}, chosen),
        with_password(device, "secret"),
        record(ANSWER_RULE, {"domain": "demo", "user": "1001", "time-frame": "*"}, chosen),
        record(PHONE_NUMBER, {"domain": "demo", "phonenumber": "451", "user": "1001"}, chosen),
    ]
    domain = record(DOMAIN, {"domain": "demo"}, chosen)
    assert isinstance(domain, Domain)
    exported = json.loads(msgspec.json.encode(export_document([domain], stored, [])))
    document = read_document(exported)
    before = {(kind_of(one), one.key): one for one in (domain, *stored)}
    assert {(kind_of(one), one.key) for one in document.records} == set(before)
    for one in document.records:
        known = before[kind_of(one), one.key]
        after = with_kept_secrets(one, known, document)
        assert changed_fields(known, after) == ()
        assert after == known
