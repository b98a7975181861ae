"""What hangs on a record of the directory, and so goes with it or keeps it (contract §4: 409 that names them)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.ports import Store
from ringbridge.model.directory import Key, Record, kind_of
from ringbridge.model.errors import CallError, Fault, Refusal

SHOWN: Final = 10
"""Users of a record, of each kind, that a refusal names."""
AT_ONCE: Final = 500
"""Records that a cascade reads and deletes before it looks again."""
_IN_DOMAIN: Final = ("subscription", "apikey", "phonenumber", "answerrule", "device", "user", "dialrule", "connection")
"""In the order in which they can go."""
_OF_USER: Final = ("subscription", "apikey", "phonenumber", "answerrule", "device")


def uses_of(kind: str, key: Key) -> list[RecordQuery]:
    """Return which records use the one of this kind and key, in the order in which they can go."""
    match kind:
        case "domain":
            return [RecordQuery(one, domain=key[0]) for one in _IN_DOMAIN]
        case "user":
            return [RecordQuery(one, domain=key[0], parent=key[1]) for one in _OF_USER]
        case "connection":
            return _dialled(key, "to-connection*")
        case "device":
            return _dialled(key, "to-single-device*")
        case _:
            return []


def _dialled(key: Key, application: str) -> list[RecordQuery]:
    """Return the rules and numbers that send calls to the one of this key."""
    name = key[-1].lower()
    if name.endswith("*"):
        return []  # the filter would take it for a beginning, and a cascade more than uses it
    # Behind a `;` an application takes a header that it adds.
    found = (("dial-rule-parameter", name), ("dial-rule-parameter", f"{name};*"))
    return [
        RecordQuery(kind, domain=key[0], filters=(parameter, ("dial-rule-application", application)))
        for kind in ("phonenumber", "dialrule")
        for parameter in found
    ]


async def check_unused(store: Store, kind: str, key: Key) -> None:
    """Let pass what nothing uses.

    Raises:
        CallError: 409 that names its users.
    """
    faults: list[Fault] = []
    told: list[str] = []
    for wanted in uses_of(kind, key):
        found = await store.record_page(wanted, limit=SHOWN)
        if found:
            total = await store.count_records(wanted)
            told.append(f"{total} {wanted.kind}{'' if total == 1 else 's'}")
            faults += [_fault(record) for record in found]
    if faults:
        message = f"{kind} {key[-1]} is used by {', '.join(told)}; delete them first, or with ?cascade=yes all of it"
        raise CallError(Refusal.CONFLICT, "in-use", message, faults=faults)


def _fault(record: Record) -> Fault:
    kind = kind_of(record)
    return Fault(kind, "in-use", f"{kind} {record.key[-1]} uses it", found="/".join(record.key))


async def users_in_parts(store: Store, kind: str, key: Key) -> AsyncIterator[Sequence[Record]]:
    """Yield what uses a record, part by part; whoever takes a part has deleted it before the next."""
    for wanted in uses_of(kind, key):
        while part := await store.record_page(wanted, limit=AT_ONCE):
            yield part
