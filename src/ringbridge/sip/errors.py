"""The two faults of SIP messages: one that a peer sent, one that we nearly sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringbridge.sip.message import Request


class ProtocolError(Exception):
    """A peer broke a rule of SIP.

    `status` is what to answer, or None when the message is to be dropped (it is a response, or cannot be answered).
    `headers` go into the answer (`Unsupported`, `Accept` …). `request` is the request as far as it could be read: good
    enough for `response_to`, but its typed headers may raise. It is None when nothing can be answered.
    """

    def __init__(
        self,
        status: int | None,
        reason: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        request: Request | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.request = request


class UnsafeHeader(ValueError):
    """Something unfit for its place was about to leave in a SIP message; `field` names the place."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field
        self.fault = fault
