"""The OpenAPI schemas of directory resources, made from their tables of fields and named as in the contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ringbridge.api.document.operations import Schema
from ringbridge.api.document.schemas import YES_NO
from ringbridge.model.fields import MAX_WHOLE_DIGITS, Field, Form, Role, wire_value
from ringbridge.model.resources import Resource
from ringbridge.model.resources import is_needed as is_named_by_records

IGNORED: Final = "Fields that are not listed, or that nobody can set, are ignored and named in X-Ringbridge-Ignored."
SYNCHRONOUS: Final[Schema] = YES_NO | {
    "description": "`no`: 202 once it is stored. `yes`: 200 with the resource as its GET gives it.",
    "default": "no",
}


def _read_type(field: Field) -> Schema:
    match field.form:
        case Form.WHOLE:
            return {"type": "integer", "minimum": 0}
        case Form.DECIMAL:
            return {"type": "number"}
        case Form.DIGITS:
            return {"type": ["integer", "string"]}
        case Form.TRUTH:
            return {"type": "boolean"}
        case Form.JSON:
            return {"type": ["object", "array"], "items": {}}
        case Form.YES_NO:
            return dict(YES_NO)
        case _:
            return {"type": "string"} | ({"enum": list(field.enum)} if field.enum else {})


def read_schema(resource: Resource) -> Schema:
    """Return the schema of a resource as a GET gives it."""
    told = [field for field in resource.fields if field.role not in (Role.SECRET, Role.SEALED)]
    return {
        "title": resource.title,
        "type": "object",
        "required": [field.name for field in told if field.always or is_named_by_records(resource, field)],
        "properties": {field.name: {"description": field.description} | _read_type(field) for field in told},
    }


def _written_type(field: Field, *, required: bool) -> Schema:
    """What is taken: numbers for texts and texts for numbers; null or an empty text sets back to the default."""
    nothing: list[object] = [] if required else ["", None]
    null = [] if required else ["null"]
    least = 1 if required else 0
    match field.form:
        case Form.YES_NO:
            return {"enum": ["yes", "no", *nothing]}
        case Form.TRUTH:
            return {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", *nothing]}]}
        case Form.WHOLE:
            pattern = f"^[0-9]{{{least},{MAX_WHOLE_DIGITS}}}$"
            top = 10**MAX_WHOLE_DIGITS - 1
            return {"type": ["integer", "string", *null], "minimum": 0, "maximum": top, "pattern": pattern}
        case Form.DECIMAL:
            return {"type": ["number", "string", *null]}
        case Form.JSON:
            return {"type": ["object", "array", *null], "items": {}}
        case Form.DATE_TIME:
            return {"type": ["string", *null], "maxLength": field.max_length}
        case _ if field.enum:
            return {"enum": [*field.enum, *nothing]}
        case _:
            number = "integer" if field.plain or field.form is Form.DIGITS else "number"
            schema: Schema = {"type": ["string", number, *null], "maxLength": field.max_length}
            if number == "integer":
                schema["minimum"] = 0
            if field.pattern:
                schema["pattern"] = field.pattern if required else f"{field.pattern}|^$"
            return schema | ({"minLength": 1} if required else {})


def _written(fields: Iterable[Field], *, required: bool) -> Schema:
    properties: Schema = {}
    for field in fields:
        must = required and field.required
        told: Schema = {"description": field.description}
        if field.default and required:
            told["default"] = field.default
        if field.example:
            told["examples"] = [field.example]
        properties[field.name] = told | _written_type(field, required=must)
    return properties


def create_schema(resource: Resource, title: str, *, given: Iterable[str], can_wait: bool = True) -> Schema:
    """Return the schema of a create whose path gives the fields `given`."""
    fields = [one for one in resource.fields if one.role not in (Role.LIVE, Role.STAMPED) and one.name not in given]
    properties = _written(fields, required=True)
    return {
        "title": title,
        "type": "object",
        "description": IGNORED,
        "required": [field.name for field in fields if field.required],
        "properties": ({"synchronous": SYNCHRONOUS} if can_wait else {}) | properties,
    }


def update_schema(resource: Resource, title: str) -> Schema:
    """Return the schema of an update: every field optional, none of the name."""
    fields = [one for one in resource.fields if one.role in (Role.KEPT, Role.SECRET, Role.SEALED)]
    return {
        "title": title,
        "type": "object",
        "description": f"Changes the fields that it names and leaves the rest. {IGNORED}",
        "properties": _written(fields, required=False),
    }


def example(resource: Resource, *, given: Iterable[str]) -> Schema:
    """Return an example of a create's body."""
    named = {field.name: field.example or field.default for field in resource.fields if field.example or field.required}
    return {
        field.name: wire_value(field, text) if field.form is Form.TRUTH else text
        for field in resource.fields
        if field.name not in given and (text := named.get(field.name, ""))
    }
