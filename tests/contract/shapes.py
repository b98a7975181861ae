"""The schemas of the contract, as strict as a client generated from the document reads them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

from tests.contract.wire import Json

SCHEMAS: dict[str, dict[str, Json]] = json.loads(Path(__file__).with_name("contract_schemas.json").read_text())
_PLAIN = {"string": str, "int": int, "float": (int, float), "bool": bool}


def faults_of(schema: str, value: Json, *, nullable: bool = False) -> list[str]:
    """Return what a strict client finds wrong with an object that claims to be of this schema.

    Args:
        nullable: a field that must be there may be null: what the server cannot know (issue 3, history).
    """
    if not isinstance(value, dict):
        return [f"{schema}: is no object: {value!r}"]
    found = [
        f"{schema}.{name}: is missing" for name, field in SCHEMAS[schema].items() if _is_required(field, name, value)
    ]
    for name, field in SCHEMAS[schema].items():
        if name in value and not (nullable and value[name] is None):
            found += _field_faults(f"{schema}.{name}", field, value[name])
    return found


def _is_required(field: Json, name: str, value: dict[str, Json]) -> bool:
    return isinstance(field, dict) and field.get("required") is True and name not in value


def _field_faults(where: str, field: dict[str, Json], value: Json) -> list[str]:
    found = _type_faults(where, str(field["type"]), value)
    if not found and "enum" in field and value not in field["enum"]:
        found.append(f"{where}: is {value!r}, none of {field['enum']}")
    if not found and isinstance(value, str):
        found += _length_faults(where, field.get("length", {}), value)
    return found


def _length_faults(where: str, length: dict[str, int], value: str) -> list[str]:
    low, high = length.get("min", 0), length.get("max", len(value))
    return [] if low <= len(value) <= high else [f"{where}: has {len(value)} characters"]


def _type_faults(where: str, kind: str, value: Json) -> list[str]:
    if kind == "mixed":
        return []
    if kind.endswith("[]"):
        if not isinstance(value, list):
            return [f"{where}: is no list: {value!r}"]
        return [fault for one in value for fault in _type_faults(where, kind.removesuffix("[]"), one)]
    if kind == "DateTime":
        return [] if _is_time(value) else [f"{where}: is no RFC 3339 time with offset: {value!r}"]
    if kind in _PLAIN:
        right = isinstance(value, _PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))  # type: ignore[arg-type] # a type or a tuple of them
        return [] if right else [f"{where}: is no {kind}: {value!r}"]
    schema = SCHEMAS.get(kind)
    if schema is None:  # the document names it and the contract does not hold it
        return []
    if isinstance(schema.get("enum"), list):
        return [] if value in schema["enum"] else [f"{where}: is {value!r}, none of {schema['enum']}"]
    return faults_of(kind, value)


def _is_time(value: Json) -> bool:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value):
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
