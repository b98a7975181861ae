"""The phones that were registered when the feed of a domain began, kept on the bus.

The stream says which phones a user has, from the first change that it tells of; of a user without one nobody else knows
how it was. So what came or went while no feed ran is found by what is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
import structlog

from ringbridge.calls.events.ports import EventBus

log = structlog.get_logger(__name__)

MOST_KEPT: Final = 10_000
"""Phones: some 500 KB, of the megabyte that a message may have. Of a domain with more nothing is kept."""

Phones: TypeAlias = dict[tuple[str, str], str]
"""The user of each, by domain and device."""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[tuple[str, str, str]])


def phones_key(domain: str) -> tuple[str, ...]:
    """Return where the phones of a domain are kept."""
    return ("presence-phones", domain)


async def kept_phones(bus: EventBus, domain: str) -> Phones | None:
    """Return the phones as the last feed of a domain found them; None where that is not known.

    Raises:
        BusUnavailable: it cannot say now.
    """
    kept = await bus.read_kept(phones_key(domain))
    try:
        found = _decoder.decode(kept.payload) if kept is not None else None
    except msgspec.DecodeError as bad:
        log.error("presence_phones_unreadable", domain=domain, why=str(bad))  # noqa: TRY400 - says it all
        return None
    return None if found is None else {(one, device): user for one, device, user in found}


async def keep_phones(bus: EventBus, domain: str, phones: Mapping[tuple[str, str], str]) -> None:
    """Keep the phones as they are now.

    Raises:
        BusUnavailable: it cannot store them now.
    """
    if len(phones) > MOST_KEPT:
        await bus.delete_kept(phones_key(domain))
        return
    await bus.put_kept(phones_key(domain), _encode([(*place, user) for place, user in phones.items()]))
