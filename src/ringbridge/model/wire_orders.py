"""The bodies of orders to a call: schema `CallActions`, and the `action` of PATCH on the call itself (contract §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ringbridge.model.errors import Fault, invalid
from ringbridge.model.names import CALL_NAME
from ringbridge.model.wire import FIELDS, Field, checked, shown

ACTIONS: Final = ("hold", "unhold", "transfer", "answer", "reject", "end")
_TERM: Final = next(field for field in FIELDS if field.name == "call-term-user")
TERM_USER: Final = _TERM._replace(
    description="Who takes the place of the party that transfers: an extension, a number, `user@domain`, a `sip:` URI."
)
ACTION: Final = Field("action", "What to do with the call.", "hold", required=True, enum=ACTIONS)
SECOND_CALL: Final = Field(
    "call-destination-session-id",
    "Attended transfer: the call with whose other party the other party of this call is joined, by its session id or "
    "any other of its names. In place of `call-term-user`.",
    "1f0c9a7be4d24c6b8a53",
    "a name of a call: its session id, its call-id, or a leg's SIP Call-ID",
    max_length=255,
    pattern=r"^[!-.0-~]{1,255}$",
    check=lambda text: None if CALL_NAME.fullmatch(text) else ("bad-characters", "can be no name of a call"),
)
HOSTNAME: Final = Field("hostname", "Taken and ignored: the call's engine is found by itself.", "node-1")
TRANSFER_FIELDS: Final = (TERM_USER._replace(required=False), SECOND_CALL, HOSTNAME)
ACTION_FIELDS: Final = (ACTION, *TRANSFER_FIELDS)


class CallOrderBody(msgspec.Struct, frozen=True):
    """A body that passed. A transfer has either `term_user` or `second_call`. `ignored` fields had no effect."""

    action: str
    term_user: str = ""
    second_call: str = ""
    """Of an attended transfer."""
    ignored: tuple[str, ...] = ()


def read_transfer(body: Mapping[str, object]) -> CallOrderBody:
    """Return what the body of a transfer asks for.

    Raises:
        CallError: it has faults; all of them are named.
    """
    return _read({**body, "action": "transfer"})


def read_action(body: Mapping[str, object]) -> CallOrderBody:
    """Return what the body of PATCH on a call asks for.

    Raises:
        CallError: it has faults; all of them are named.
    """
    return _read(body)


def _read(body: Mapping[str, object]) -> CallOrderBody:
    faults: list[Fault] = []
    action = checked(ACTION, body.get("action"), faults)
    term = body.get(TERM_USER.name)
    alias = term is None and body.get(TERM_USER.alias) is not None
    second_call = checked(SECOND_CALL, body.get(SECOND_CALL.name), faults)
    named = body.get(SECOND_CALL.name)
    is_asked = bool(named.strip() if isinstance(named, str) else named is not None)
    needed = TERM_USER._replace(required=action == "transfer" and not is_asked)
    term_user = checked(needed, body[TERM_USER.alias] if alias else term, faults)
    if action == "transfer" and term_user and second_call:
        message = f"says whom to join where {TERM_USER.name} says whom to ring: a transfer has one of them"
        faults.append(Fault(SECOND_CALL.name, "not-both", message, found=shown(second_call), allowed="one of the two"))
    checked(HOSTNAME, body.get(HOSTNAME.name), faults)
    if faults:
        raise invalid(faults)
    known = {ACTION.name, TERM_USER.name, SECOND_CALL.name, HOSTNAME.name} | ({TERM_USER.alias} if alias else set())
    return CallOrderBody(action, term_user, second_call, tuple(name for name in body if name not in known))
