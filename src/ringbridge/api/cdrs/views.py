"""CDRs as JSON rows, as CSV lines, and as schemas of the document, all from the tables of `cdrs.fields`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from ringbridge.api.cdrs.fields import CDR_D, CDR_R, CDR_U, OURS, CdrField, Kind, Seen
from ringbridge.api.document.operations import Schema

_TYPES: Final[dict[Kind, list[str]]] = {
    "string": ["string", "null"],
    "int": ["integer", "null"],
    "id": ["integer", "string", "null"],
    "bool": ["boolean", "null"],
    "mixed": ["string", "integer", "null"],
}
_CAUSE: Final[Schema] = {
    "type": "object",
    "required": ["result", "reason"],
    "properties": {
        "result": {"type": "string"},
        "reason": {"type": "string"},
        "sip-status": {"type": ["integer", "null"]},
    },
}
NUMBER: Final = re.compile(r"[+-]?[0-9][0-9 .,]*", re.ASCII)
FORMULA: Final = frozenset(("=", "+", "-", "@", "\t", "\r", "\n", "|", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
"""What makes a spreadsheet take a cell for a formula; the last four are the full-width forms of the first."""


class CdrView:
    """One schema: how CDRs look in it. Our own fields come last."""

    def __init__(self, title: str, fields: Sequence[CdrField]) -> None:
        self.title = title
        self.fields = (*fields, *OURS)
        self._blank: dict[str, object] = dict.fromkeys(field.name for field in self.fields)
        self._known = [(field.name, field.get) for field in self.fields if field.get is not None]
        self.columns = [
            *(field.name for field in self.fields),
            "release-result",
            "release-reason",
            "release-sip-status",
        ]
        """The columns of its CSV."""

    def row(self, seen: Seen) -> dict[str, object]:
        """Return a CDR as a JSON object."""
        row = self._blank.copy()
        for name, get in self._known:
            row[name] = get(seen)
        row["release-cause"] = seen.cdr.cause
        return row

    def line(self, seen: Seen) -> list[object]:
        """Return a CDR as the cells of its CSV."""
        cause = seen.cdr.cause
        values = [None if field.get is None else field.get(seen) for field in self.fields]
        return [cell(value) for value in (*values, cause.result.value, cause.reason, cause.sip_status)]

    @property
    def schema(self) -> Schema:
        """Its schema in the document."""
        properties: dict[str, object] = {field.name: {"type": _TYPES[field.kind]} for field in self.fields}
        return {
            "title": self.title,
            "type": "object",
            "description": "One call. Fields of the API that Ringbridge cannot know are null.",
            "required": [*properties, "release-cause"],
            "properties": properties | {"release-cause": _CAUSE},
        }


def cell(value: object) -> object:
    """Return a value as a CSV cell that no spreadsheet takes for a formula; numbers with a sign stay as they are."""
    if isinstance(value, str) and value[:1] in FORMULA and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def csv_text(lines: Sequence[Sequence[object]]) -> bytes:
    """Return lines of cells as RFC 4180 has them: CRLF, quoted where needed, quotes doubled; UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


DOMAIN_VIEW: Final = CdrView("CdrD", CDR_D)
RAW_VIEW: Final = CdrView("CdrR", CDR_R)
USER_VIEW: Final = CdrView("CdrU", CDR_U)
