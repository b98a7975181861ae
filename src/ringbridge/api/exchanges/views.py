"""How the request history is told: numbers are masked for whoever has a lower scope than the request was made with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ringbridge.model.access import SCOPES, Principal, Scope
from ringbridge.model.exchanges import BodyState, Headers, KeptBody, KeptExchange
from ringbridge.model.masking import mask_numbers, masked_json

MAKES_CALL: Final = "make-call"
"""The operation that can be sent again."""


class RequestView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One request, as a list tells it. `domain` and `user` are the token's, `*` for all."""

    id: str
    datetime: str
    method: str
    path: str
    query: dict[str, str]
    operation: str
    status: int
    duration_ms: float
    user_agent: str
    address: str
    key_prefix: str
    """`nss_`, `nsr_`, `nsd_` or `nsu_`; empty of a login."""
    key_id: str
    """Of a login, its token's `jti`."""
    domain: str
    user: str
    request_id: str
    masked: bool
    """Whether telephone numbers are masked, as it was made with a wider scope than yours."""


class RequestDetails(RequestView, frozen=True, rename="kebab", kw_only=True):
    """One request with what was sent and answered.

    The state of a body is `none`, `whole`, `cut` (its beginning alone is kept), `redacted` (secrets were replaced) or
    `hidden` (it cannot be read, and may hold some).
    """

    headers: dict[str, str]
    body: str
    body_state: BodyState
    body_size: int
    answer_headers: dict[str, str]
    answer: str
    answer_state: BodyState
    answer_size: int
    resendable: bool
    """Whether it is a request for a call that can be sent again from here."""


def is_masked(kept: KeptExchange, principal: Principal) -> bool:
    """Return whether `principal` sees numbers masked."""
    return not principal.scope.reaches(SCOPES.get(kept.scope, Scope.SUPER_USER))


def is_resendable(kept: KeptExchange, *, masked: bool) -> bool:
    """Return whether it can be sent again by somebody for whom its numbers are masked, or not."""
    return kept.operation == MAKES_CALL and kept.body.state == "whole" and not masked


def public_id(kept: KeptExchange, node: str) -> str:
    """Return what a request is called: with its node, as each keeps its own."""
    return f"{node}-{kept.id}"


def request_view(kept: KeptExchange, *, node: str, masked: bool) -> RequestView:
    """Return a request for a list."""
    return RequestView(**_common(kept, node, masked=masked))


def request_details(kept: KeptExchange, *, node: str, masked: bool) -> RequestDetails:
    """Return a request with its bodies."""
    return RequestDetails(
        **_common(kept, node, masked=masked),
        headers=_headers(kept.headers, masked=masked),
        body=_body(kept.body, masked=masked),
        body_state=kept.body.state,
        body_size=kept.body.size,
        answer_headers=_headers(kept.answer_headers, masked=masked),
        answer=_body(kept.answer, masked=masked),
        answer_state=kept.answer.state,
        answer_size=kept.answer.size,
        resendable=is_resendable(kept, masked=masked),
    )


def _common(kept: KeptExchange, node: str, *, masked: bool) -> dict[str, Any]:
    return {
        "id": public_id(kept, node),
        "datetime": datetime.fromtimestamp(kept.asked_at, UTC).isoformat(timespec="milliseconds"),
        "method": kept.method,
        "path": _text(kept.path, masked=masked),
        "query": {name: _text(value, masked=masked) for name, value in parse_qsl(kept.query, keep_blank_values=True)},
        "operation": kept.operation,
        "status": kept.status,
        "duration_ms": round(1000 * kept.seconds, 3),
        "user_agent": _text(kept.user_agent, masked=masked),
        "address": kept.address,
        "key_prefix": kept.key_prefix,
        "key_id": kept.key_id,
        "domain": kept.domain,
        "user": kept.user,
        "request_id": _text(kept.request_id, masked=masked),
        "masked": masked,
    }


def _text(text: str, *, masked: bool) -> str:
    return mask_numbers(text) if masked else text


def _headers(headers: Headers, *, masked: bool) -> dict[str, str]:
    return {name.decode("latin-1"): _text(value.decode("latin-1"), masked=masked) for name, value in headers}


def _body(body: KeptBody, *, masked: bool) -> str:
    return masked_json(body.text) if masked else body.text.decode(errors="replace")
