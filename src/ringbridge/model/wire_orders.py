"""The bodies of orders to a call: schema `CallActions`, and the `action` of PATCH on the call itself (contract §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ringbridge.model.errors import Fault, invalid
from ringbridge.model.wire import FIELDS, Field, checked

ACTIONS: Final = ("hold", "unhold", "transfer", "answer", "reject", "end")
_TERM: Final = next(field for field in FIELDS if field.name == "call-term-user")
TERM_USER: Final = _TERM._replace(
    description="Who takes the place of the party that transfers: an extension, a number, `user@domain`, a `sip:` URI."
)
ACTION: Final = Field("action", "What to do with the call.", "hold", required=True, enum=ACTIONS)
HOSTNAME: Final = Field("hostname", "Taken and ignored: the call's engine is found by itself.", "node-1")
TRANSFER_FIELDS: Final = (TERM_USER, HOSTNAME)
ACTION_FIELDS: Final = (ACTION, TERM_USER._replace(required=False), HOSTNAME)


class CallOrderBody(msgspec.Struct, frozen=True):
    """A body that passed; `term_user` is empty where it is not needed. `ignored` fields had no effect."""

    action: str
    term_user: str = ""
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
    needed = TERM_USER._replace(required=action == "transfer")
    term_user = checked(needed, body[TERM_USER.alias] if alias else term, faults)
    checked(HOSTNAME, body.get(HOSTNAME.name), faults)
    if faults:
        raise invalid(faults)
    known = {ACTION.name, TERM_USER.name, HOSTNAME.name} | ({TERM_USER.alias} if alias else set())
    return CallOrderBody(action, term_user, tuple(name for name in body if name not in known))
