"""The tables of fields hold every name of the contract's schemas; values come back in the schema's type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.directory import Domain, User
from ringbridge.model.fields import Field, Form, Role, WrongValue, instant, read_value, wire_value
from ringbridge.model.resources import (
    DOMAIN,
    RESOURCES,
    USER,
    Resource,
    carried,
    change,
    etag_of,
    is_needed,
    is_typed,
    make,
    read_fields,
    stamped,
    terms_of,
    texts_of,
    view,
)
from ringbridge.model.wire import Number

CONTRACT: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "contract_fields.json").read_text()
)
"""Fields of `contract-schemas.json` by kind: type, default, enum; whether a read or a create must have them."""
OURS = {
    "domain": {
        "home-country",
        "allowed-countries",
        "verified-caller-ids",
        "limits-max-calls-per-minute",
        "limits-max-spend-per-month",
    },
    "user": {"user-login-password", "verified-caller-ids", "limits-max-calls-per-minute", "limits-max-spend-per-month"},
    "connection": {
        "limits-max-calls-per-minute",
        "connection-health-check-enabled",
        "connection-health-check-interval-seconds",
        "connection-health-state",
        "connection-health-reason",
        "connection-health-datetime",
        "connection-sip-registration-enabled",
        "connection-sip-registration-state",
        "connection-sip-registration-reason",
    },
    "phonenumber": {"user"},
}
"""What we add to the contract's resources."""
ALWAYS_SET = {"domain": {"time-zone"}, "user": {"user-scope", "account-status"}}
"""Fields whose default is ours where the contract's schema has none."""
FORMS = {
    "int": (Form.WHOLE, Form.DIGITS),
    "float": (Form.DECIMAL, Form.DIGITS),
    "DateTime": (Form.DATE_TIME,),
    "bool": (Form.TRUTH,),
    "string": (Form.TEXT, Form.DATE_TIME),
    "TimeZone": (Form.TEXT,),
    "Scopes": (Form.TEXT,),
    "DialruleApplication": (Form.TEXT,),
}
EVERY_FIELD = [(kind, name) for kind, fields in CONTRACT.items() for name in fields]


@pytest.mark.parametrize("kind", CONTRACT)
def test_every_field_of_the_contract_is_in_the_table_and_no_other(kind: str) -> None:
    names = [field.name for field in RESOURCES[kind].fields]
    assert len(names) == len(set(names))
    assert set(names) - OURS.get(kind, set()) == set(CONTRACT[kind])


@pytest.mark.parametrize(("kind", "name"), EVERY_FIELD)
def test_each_field_is_as_the_contract_has_it(kind: str, name: str) -> None:
    asked = CONTRACT[kind][name]
    field = RESOURCES[kind].field(name)
    assert field is not None
    if "type" in asked:
        kinds = (Form.YES_NO,) if asked["type"].startswith("YesNo") else FORMS.get(asked["type"], (Form.JSON,))
        assert field.form in kinds
    if "default" in asked and asked["type"] == "string" and name != "connection-sip-transport-protocol":
        assert field.default == str(asked["default"])
    if "enum" in asked:
        assert set(field.enum) == set(asked["enum"])
    assert field.required == asked.get("create", False)
    if asked.get("read"):
        assert field.always or field.role is Role.NAME


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=list(RESOURCES))
def test_typed_fields_have_the_default_of_their_table(resource: Resource) -> None:
    needed = {one.encode_name: "x" for one in msgspec.structs.fields(resource.record) if one.required}
    texts = texts_of(resource, make(resource, needed))
    for field in resource.fields:
        if is_typed(resource, field) and field.name not in needed:
            assert texts.get(field.name, "") == field.default, field.name


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=list(RESOURCES))
def test_every_typed_field_has_a_name_in_the_table(resource: Resource) -> None:
    not_told = {"other", "ha1-md5", "ha1-sha256", "made-at"}
    typed = {one.encode_name for one in msgspec.structs.fields(resource.record)} - not_told
    assert typed <= {field.name for field in resource.fields}


def test_a_number_is_told_as_one_unless_digits_would_be_lost() -> None:
    field = Field("caller-id-number", Form.DIGITS)
    told = {text: wire_value(field, text) for text in ("45376199", "0045", "0", "+4570", "9" * 15, "9" * 16)}
    assert told == {
        "45376199": 45376199,
        "0045": "0045",
        "0": 0,
        "+4570": "+4570",
        "9" * 15: 10**15 - 1,
        "9" * 16: "9" * 16,
    }


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (Form.TEXT, Number("45376199"), "45376199"),
        (Form.WHOLE, "25", "25"),
        (Form.WHOLE, Number("25"), "25"),
        (Form.DECIMAL, "1.5", "1.5"),
        (Form.TRUTH, True, "yes"),
        (Form.DATE_TIME, "2026-01-02 03:04:05", "2026-01-02 03:04:05"),
        (Form.JSON, {"b": Number("1"), "a": [True]}, '{"a":[true],"b":1}'),
        (Form.YES_NO, None, ""),
    ],
)
def test_values_are_taken_as_clients_write_them(form: Form, value: object, text: str) -> None:
    assert read_value(Field("x", form), value) == text


@pytest.mark.parametrize(
    ("form", "value", "code"),
    [
        (Form.TEXT, ["a"], "wrong-type"),
        (Form.TEXT, True, "wrong-type"),
        (Form.TEXT, "a\x00", "control-character"),
        (Form.TEXT, "x" * 257, "too-long"),
        (Form.WHOLE, "-1", "not-a-number"),
        (Form.WHOLE, "٣", "not-a-number"),
        (Form.WHOLE, "1" * 13, "not-a-number"),
        (Form.DECIMAL, "NaN", "not-a-number"),
        (Form.DIGITS, Number("1.5"), "not-a-number"),
        (Form.YES_NO, True, "wrong-type"),
        (Form.YES_NO, "YES", "not-one-of"),
        (Form.DATE_TIME, "yesterday", "not-a-date-time"),
        (Form.DATE_TIME, "2026-13-01", "not-a-date-time"),
        (Form.JSON, "{}", "wrong-type"),
        (Form.JSON, {"a": "x" * 9000}, "too-long"),
    ],
)
def test_other_values_are_refused(form: Form, value: object, code: str) -> None:
    with pytest.raises(WrongValue) as caught:
        read_value(Field("x", form), value)
    assert caught.value.code == code


def test_a_fault_says_what_is_allowed_where_only_a_check_knows() -> None:
    field = next(one for one in DOMAIN.fields if one.name == "time-zone")
    with pytest.raises(WrongValue) as refused:
        read_value(field, "Mars/Olympus")
    assert (refused.value.message, refused.value.allowed) == ("must be an IANA time zone", "an IANA time zone")


def test_date_times_are_told_as_rfc_3339_with_offset() -> None:
    field = Field("x", Form.DATE_TIME)
    assert wire_value(field, "2026-01-02 03:04:05") == "2026-01-02T03:04:05+00:00"
    assert wire_value(field, "2026-01-02T03:04:05+02:00") == "2026-01-02T03:04:05+02:00"
    assert instant("2026-01-02") is not None


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(WrongValue) as caught:
        read_value(Field("x", role=Role.SECRET), "hunter2\x00")
    assert caught.value.found is None


def test_a_value_that_is_not_of_its_form_any_more_stops_nothing() -> None:
    user = User("demo", "1001", other={"voicemail-greeting-index": "one", "recording-configuration": "{"})
    told = view(USER, user, {})
    assert (told["voicemail-greeting-index"], told["recording-configuration"]) == ("one", "{")


def test_an_alias_is_taken_where_the_true_name_is_absent() -> None:
    device = RESOURCES["device"]
    given = {"domain": "demo", "user": "1001"}
    body = {"device": "1001", "device-sip-auto-answer-enabled": "yes"}
    read = read_fields(device, body, given=given, needed=lambda field: field.required)
    assert read.values["auto-answer-enabled"] == "yes"
    assert read.unknown == []
    read = read_fields(device, body | {"auto-answer-enabled": "no"}, given=given, needed=lambda field: field.required)
    assert read.values["auto-answer-enabled"] == "no"


def test_secrets_and_times_outlive_a_document_that_does_not_name_them() -> None:
    before = make(DOMAIN, {"domain": "demo", "email-send-smtp-password": "hunter2"})
    assert carried(DOMAIN, Domain("demo"), before) == before
    other = make(DOMAIN, {"domain": "demo", "email-send-smtp-password": "another"})
    assert carried(DOMAIN, other, before) == other
    user = stamped(USER, User("demo", "1001"), 1.0)
    assert carried(USER, User("demo", "1001"), user) == user


def test_the_tag_changes_with_what_is_kept_and_with_nothing_else() -> None:
    one = make(USER, {"domain": "demo", "user": "1001", "site": "London"})
    assert etag_of(one) == etag_of(make(USER, {"site": "London", "user": "1001", "domain": "demo"}))
    assert etag_of(one) != etag_of(change(USER, one, {"site": "Paris"}))


def test_what_lists_are_narrowed_by_is_in_lower_case() -> None:
    user = User("demo", "1001", name_first_name="Ada", other={"department": "Engines", "privacy": "yes"})
    found = dict(terms_of(user))
    assert (found["name-first-name"], found["department"], found["user"]) == ("ada", "engines", "1001")
    assert "privacy" not in found


def values_of(resource: Resource) -> st.SearchStrategy[dict[str, str]]:
    """Texts as `read_value` gives them, for any of the fields that are kept."""
    texts = {
        Form.YES_NO: st.sampled_from(["yes", "no", ""]),
        Form.TRUTH: st.sampled_from(["yes", "no"]),
        Form.WHOLE: st.integers(0, 10**9).map(str) | st.just(""),
        Form.DECIMAL: st.integers(0, 10**9).map(str),
        Form.DIGITS: st.from_regex(r"\A[0-9]{1,12}\Z"),
        Form.DATE_TIME: st.just("2026-01-02 03:04:05"),
        Form.JSON: st.just('{"enabled":"yes"}'),
    }
    text = st.text("abc ", max_size=3)
    kept = {
        field.name: st.sampled_from(field.enum) if field.enum else texts.get(field.form, text)
        for field in resource.fields
        if field.role is Role.KEPT and not is_needed(resource, field)
    }
    needed = {field.name for field in resource.fields if is_needed(resource, field)}
    names = {name: st.just("1") for name in {*resource.key_names, *needed}}
    return st.fixed_dictionaries(names, optional=kept)


@given(data=st.data())
@pytest.mark.parametrize("resource", RESOURCES.values(), ids=list(RESOURCES))
def test_what_is_kept_is_told_and_a_change_leaves_the_rest(resource: Resource, data: st.DataObject) -> None:
    needed = {one.encode_name: "1" for one in msgspec.structs.fields(resource.record) if one.required}
    values = needed | data.draw(values_of(resource))
    record = make(resource, values)
    told = view(resource, record, {})
    for field in resource.fields:
        text = values.get(field.name, "")
        if field.role is Role.KEPT and text and text != field.default:
            assert told[field.name] == wire_value(field, text)
    again = msgspec.json.decode(msgspec.json.encode(record), type=resource.record)
    assert again == record
    assert change(resource, record, {}) == record
    assert change(resource, make(resource, needed | {name: values[name] for name in resource.key_names}), values) == (
        record
    )
