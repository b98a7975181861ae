"""The audit trail: whoever writes a record of the directory leaves an entry, and nobody has to think of it.

The bus itself makes it, from who acts (which the API says once for each request) and from what the record was before,
and stores it before the change: no change is without its entry. What the program does for itself, with nobody acting,
leaves none. Orders to calls are no records, so whoever gives one has it `noted`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

from ringbridge.calls.ports import Bus, Clock
from ringbridge.model.audit import ANYBODY, CALL, NOT_RECORDED, Actor, AuditEntry, entry_id, order_entry_fields
from ringbridge.model.call import Call
from ringbridge.model.directory import Key, Record, kind_of
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from ringbridge.model.provisioning import changed_fields


class _Acting(NamedTuple):
    actor: Actor
    clock: Clock


_acting: ContextVar[_Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Actor, clock: Clock) -> Iterator[None]:
    """Let every record that is written inside, and in tasks that begin there, be `actor`'s change."""
    token = _acting.set(_Acting(actor, clock))
    try:
        yield
    finally:
        _acting.reset(token)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Let what is written inside be nobody's change: what the program does for itself while it serves somebody."""
    token = _acting.set(None)
    try:
        yield
    finally:
        _acting.reset(token)


def is_recorded(kind: str) -> bool:
    """Return whether a change of a record of `kind`, made here and now, leaves an entry."""
    return _acting.get() is not None and kind not in NOT_RECORDED


def entry_of(kind: str, key: Key, *, before: Record | None, after: Record | None) -> AuditEntry | None:
    """Return the entry of a change made here and now; None where it leaves none.

    `before` is the record as it was, None where it was not there; `after` as it will be, None when it is deleted.
    """
    acting_now = _acting.get()
    if acting_now is None or not is_recorded(kind):
        return None
    known = after or before
    fields = changed_fields(before, after) if before is not None and after is not None else ()
    now = acting_now.clock.now()
    return AuditEntry(
        id=entry_id(now, secrets.token_hex(6)),
        at=now,
        action="delete" if after is None else "create" if before is None else "update",
        of=kind if after is None else kind_of(after),
        of_key=key,
        domain=known.domain if known is not None else ANYBODY,
        by=acting_now.actor,
        fields=fields,
        of_user=_user_of(known),
    )


def _user_of(record: Record | None) -> str:
    user = getattr(record, "user", "")
    return "" if user == ANYBODY else user


async def noted(bus: Bus, call: Call, order: str, do: Callable[[], Awaitable[bool]]) -> bool:
    """Give an order to a call by `do`, with an entry that is stored before; return what `do` returns.

    Where it was refused, or `do` says that nothing was done, the entry is withdrawn; where nobody knows, it stays.
    """
    acting_now = _acting.get()
    if acting_now is None:
        return await do()
    now = acting_now.clock.now()
    action, fields = order_entry_fields(order)
    entry = AuditEntry(
        id=entry_id(now, secrets.token_hex(6)),
        at=now,
        action=action,
        of=CALL,
        of_key=(call.domain, call.call_id),
        domain=call.domain,
        by=acting_now.actor,
        fields=fields,
        of_user=call.user,
    )
    await bus.put_record(entry)
    try:
        is_done = await do()
    except CallError as refusal:
        if refusal.refusal is not Refusal.UNAVAILABLE:
            await _withdraw(bus, entry)
        raise
    if not is_done:
        await _withdraw(bus, entry)
    return is_done


async def _withdraw(bus: Bus, entry: AuditEntry) -> None:
    with suppress(BusUnavailable):  # one that stays tells of a try
        await bus.delete_record("audit", entry.key)
