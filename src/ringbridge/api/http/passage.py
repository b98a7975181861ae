"""What the edge, the gate and the handlers tell each other about one request."""

from __future__ import annotations

from typing import cast

from litestar.types import Scope

from ringbridge.api.http.answers import HeaderPair
from ringbridge.model.access import Principal

STATE = "ringbridge"
"""Where a scope holds its `Passage`."""


class Passage:
    """One request on its way."""

    __slots__ = (
        "answer",
        "answer_headers",
        "answer_size",
        "asked",
        "headers",
        "is_kept",
        "operation",
        "principal",
        "request_id",
        "status",
    )

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.operation = "none"
        """Name of the operation, for metrics; `none` where no path matched."""
        self.status = 0
        self.headers: list[HeaderPair] = []
        """What every answer to it tells beside its own headers: what is left of the rate limits."""
        self.principal: Principal | None = None
        """Whose token it shows, once that was found good."""
        self.is_kept = False
        """Whether the request history keeps it; the rest is for that alone."""
        self.asked = b""
        """The body, if it was read."""
        self.answer_headers: list[HeaderPair] = []
        self.answer = b""
        """The beginning of the answer's body: all that was sent at once."""
        self.answer_size = 0


def passage_of(scope: Scope) -> Passage:
    """Return the passage that the edge put into `scope`."""
    return cast("Passage", scope["state"][STATE])
