"""One record of a directory document, field by field: what is taken, what is refused, what is said then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import msgspec

from ringbridge.model.access import MODEL_NAMES, SCOPES, parse_models, parse_networks
from ringbridge.model.directory import Record, YesNo
from ringbridge.model.errors import Fault
from ringbridge.model.fields import Field, Form
from ringbridge.model.resources import Resource, is_needed, make, read_fields
from ringbridge.model.times import epoch_s
from ringbridge.model.wire import control_fault, json_type, shown

T = TypeVar("T", bound=msgspec.Struct)

MAX_LENGTH: Final = 256


class KeyFields(msgspec.Struct, frozen=True, rename="kebab"):
    """An API key as a document names it; an empty scope means the widest that its place allows to a person there."""

    domain: str
    user: str
    description: str
    user_scope: str = ""
    reseller: str = "*"
    ip_address: str = ""
    readonly: YesNo = "no"
    can_create_keys: YesNo = "no"
    allowed_models: str = ""
    """Comma list."""
    expires_datetime: str = ""


def _scope(text: str) -> str | None:
    return None if not text or text in SCOPES else f"must be one of {', '.join(SCOPES)}"


def _networks(text: str) -> str | None:
    try:
        parse_networks(text)
    except ValueError:
        return "must be a comma list of addresses and CIDR"
    return None


def _models(text: str) -> str | None:
    unknown = parse_models(text) - set(MODEL_NAMES)
    return f"must be a comma list of {', '.join(MODEL_NAMES)}" if unknown else None


def _instant(text: str) -> str | None:
    return None if not text or epoch_s(text) else "must be YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339"


_CHECKS: Final[dict[str, Callable[[str], str | None]]] = {
    "user-scope": _scope,
    "ip-address": _networks,
    "allowed-models": _models,
    "expires-datetime": _instant,
}


def _converted(field: msgspec.structs.FieldInfo, value: object) -> object:
    """Return `value` as the field's type has it.

    Raises:
        ValueError: it cannot be that; the message says what it must be.
    """
    if field.type == YesNo:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value not in ("yes", "no"):
            raise ValueError("must be yes or no")
        return value
    if isinstance(value, bool | list | dict | float):
        message = f"must be text, not {json_type(value)}"
        raise ValueError(message)  # noqa: TRY004 - a wrong document, not a wrong call of this function
    text = str(value)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    check = _CHECKS.get(field.encode_name)
    if (wrong := check(text) if check else None) is not None:
        raise ValueError(wrong)
    return text


def _fault(path: str, value: object, message: str) -> Fault:
    return Fault(path, "bad-value", message, found=shown(value) if isinstance(value, str) else None)


def read_record(
    kind: type[T],
    raw: Mapping[str, object],
    path: str,
    faults: list[Fault],
    *,
    given: Mapping[str, str],
) -> T | None:
    """Return the record that `raw` describes, or None where its faults were added to `faults`.

    `given` are the fields that its place in the document decides.
    """
    before = len(faults)
    values: dict[str, object] = {}
    known: set[str] = set()
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        known.add(name)
        at = f"{path}.{name}"
        value = raw.get(name)
        if name in given:
            values[field.name] = given[name]
            if value is not None and str(value) != given[name]:
                message = f"must be {given[name]}, as its place says, or left out"
                faults.append(Fault(at, "misplaced", message, found=shown(str(value))))
        elif value is None or (value == "" and field.required):
            if field.required:
                faults.append(Fault(at, "missing", "is required"))
        elif isinstance(value, str) and (control := control_fault(at, value)) is not None:
            faults.append(control)
        else:
            try:
                values[field.name] = _converted(field, value)
            except ValueError as wrong:
                faults.append(_fault(at, value, str(wrong)))
    unknown = [name for name in raw if name not in known]
    faults += [Fault(f"{path}.{shown(name)}", "unknown-field", "is not known here") for name in unknown]
    return kind(**values) if len(faults) == before else None


def _plain(field: Field, value: object) -> object:
    """Return a document's value as a request would have it: every scalar is text there, and `true` is `yes`."""
    if isinstance(value, bool) and (field.form is Form.YES_NO or field.name.endswith("-enabled")):
        return "yes" if value else "no"
    if field.form is Form.JSON and isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return str(value) if type(value) is int else value


def read_resource(
    resource: Resource,
    raw: Mapping[str, object],
    path: str,
    faults: list[Fault],
    *,
    given: Mapping[str, str] | None = None,
    also: Collection[str] = (),
) -> tuple[Record, dict[str, str]] | None:
    """Return the record that `raw` describes and its fields as text, or None where its faults were added to `faults`.

    `given` are the fields that its place in the document decides; `also` are names that the caller reads itself.
    """
    given = given or {}
    before = len(faults)
    fields = {field.name: field for field in resource.fields}
    plain = {
        name: _plain(fields[name], value) if name in fields else value
        for name, value in raw.items()
        if name not in also
    }
    read = read_fields(resource, plain, given=given, needed=lambda field: is_needed(resource, field))
    for field, wrong in read.faults:
        kept = wrong.code in ("missing", "control-character")
        faults.append(wrong.at(f"{path}.{field.name}", code=wrong.code if kept else "bad-value"))
    for name in read.misplaced:
        message = f"must be {given[name]}, as its place says, or left out"
        faults.append(Fault(f"{path}.{name}", "misplaced", message, found=shown(str(raw[name]))))
    faults += [Fault(f"{path}.{shown(name)}", "unknown-field", "is not known here") for name in read.unknown]
    return (make(resource, read.values), read.values) if len(faults) == before else None
