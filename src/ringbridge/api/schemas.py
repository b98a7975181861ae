"""JSON Schemas that no type of ours has: what is taken is wider than what is meant."""

from __future__ import annotations

from typing import Final

from ringbridge.api.operations import QueryField, Schema
from ringbridge.model.wire import CALL_ID_PATTERN, FIELDS, Field

PAGE_QUERY: Final = (
    QueryField(
        "start",
        "First item, counted from 1; 0 means 1.",
        {"type": "integer", "minimum": 0, "maximum": 2**31, "default": 1},
    ),
    QueryField("limit", "Most items.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)
QUERY_CALL_ID: Final = QueryField(
    "callid",
    "The call's name, where the body has none.",
    {"type": "string", "pattern": CALL_ID_PATTERN},
)
YES_NO: Final[Schema] = {"type": "string", "enum": ["yes", "no"]}


def _field_schema(field: Field) -> Schema:
    # Real clients send numbers where text is meant; null is the same as absent where the field may be absent.
    schema: Schema = {"description": field.description, "examples": [field.example]}
    if field.default:
        schema["default"] = field.default
    if field.enum:
        return schema | {"type": ["string", "null"], "enum": [*field.enum, None]}
    kinds = ["string", "integer"] if field.required else ["string", "integer", "null"]
    schema |= {"type": kinds, "maxLength": field.max_length, "minimum": 0}
    if field.required:
        schema["minLength"] = 1
    if field.pattern:
        schema["pattern"] = field.pattern
    return schema


CALL_REQUEST_SCHEMA: Final[Schema] = {
    "title": "CallRequest",
    "type": "object",
    "description": "Fields that are not listed are ignored and named in X-Ringbridge-Ignored. `callid`, `destination` "
    "and `origination` are taken for `call-id`, `call-term-user` and `call-orig-user` where those are absent.",
    "required": [field.name for field in FIELDS if field.required],
    "properties": {field.name: _field_schema(field) for field in FIELDS},
}
