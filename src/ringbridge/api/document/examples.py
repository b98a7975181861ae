"""Examples of the OpenAPI document: the request for a call, and what every operation answered when it was asked.

`tools/examples.py` records the answers from a run of the API (`tests/api/recording.py`), and a test fails when one is
no longer what a run answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import msgspec

from ringbridge.api.document.operations import Schema

CALL_REQUEST_EXAMPLE: Final[Schema] = {
    "synchronous": "no",
    "call-id": "b7f9c2d4-click-1",
    "call-orig-user": "1001",
    "call-term-user": "1002",
}
RECORDED: Final = "examples.json"
_ANSWERS: Final[dict[str, dict[str, dict[str, object]]]] = msgspec.json.decode(
    files("ringbridge.api.document").joinpath(RECORDED).read_bytes()
)


def answers_of(operation: str, status: int) -> Mapping[str, object]:
    """Return what an operation answered with `status`, by media type; nothing where that was not recorded."""
    return _ANSWERS.get(operation, {}).get(str(status), {})
