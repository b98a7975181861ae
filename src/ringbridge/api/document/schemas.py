"""JSON Schemas that no type of ours has: what is taken is wider than what is meant."""

from __future__ import annotations

from typing import Final

from ringbridge.api.document.operations import QueryField, Schema
from ringbridge.model.wire import CALL_ID_PATTERN, FIELDS, Field
from ringbridge.model.wire_orders import ACTION_FIELDS, SECOND_CALL, TERM_USER, TRANSFER_FIELDS

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
QUERY_DRY_RUN: Final = QueryField(
    "dry-run", "`yes`: only say what would ring, and what is against it.", YES_NO | {"default": "no"}
)


def _field_schema(field: Field) -> Schema:
    # Real clients send numbers where text is meant; null is the same as absent where the field may be absent.
    schema: Schema = {"description": field.description, "examples": [field.example]}
    if field.default:
        schema["default"] = field.default
    if field.enum and field.required:
        return schema | {"type": "string", "enum": [*field.enum]}
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

_ONE_TARGET: Final[Schema] = {
    "oneOf": [
        {
            "required": [field.name],
            "properties": {
                field.name: _field_schema(field._replace(required=True)),
                other.name: {"enum": [None, ""]},
            },
        }
        for field, other in ((TERM_USER, SECOND_CALL), (SECOND_CALL, TERM_USER))
    ]
}
"""A transfer says whom to ring, or whom to join; null and blank are the same as absent."""

CALL_ACTIONS_SCHEMA: Final[Schema] = {
    "title": "CallActions",
    "type": "object",
    "description": "Either `call-term-user` or `call-destination-session-id`. Fields that are not listed are ignored "
    "and named in X-Ringbridge-Ignored. `destination` is taken for `call-term-user` where that is absent.",
    "properties": {field.name: _field_schema(field) for field in TRANSFER_FIELDS},
} | _ONE_TARGET
CALL_ACTION_SCHEMA: Final[Schema] = {
    "title": "CallAction",
    "type": "object",
    "description": "`call-term-user` or `call-destination-session-id` is required for `transfer`; both are without "
    "effect otherwise.",
    "required": ["action"],
    "properties": {field.name: _field_schema(field) for field in ACTION_FIELDS},
    "if": {"properties": {"action": {"const": "transfer"}}},
    "then": _ONE_TARGET,
}
