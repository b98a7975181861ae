"""A CDR as rows: what it is listed by, the users in whose history it belongs, and its body."""

from __future__ import annotations

import msgspec

from ringbridge.adapters.store.statements import Row
from ringbridge.model.cdr import Cdr, parties_of
from ringbridge.model.cdr_query import plain, total_seconds

pack_cdr = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Cdr)


def cdr_row(cdr: Cdr) -> Row:
    """Return the row of a CDR."""
    return {
        "id": cdr.id,
        "domain": cdr.domain,
        "started_at": cdr.started_at,
        "direction": cdr.direction.value,
        "seconds": total_seconds(cdr),
        "caller": plain(cdr.caller),
        "dialled": plain(cdr.dialled),
        "orig_site": cdr.orig_site,
        "term_site": cdr.term_site,
        "body": pack_cdr(cdr),
    }


def party_rows(cdr: Cdr) -> list[Row]:
    """Return a row for each user in whose history a CDR belongs."""
    caller, dialled = plain(cdr.caller), plain(cdr.dialled)
    return [
        {
            "domain": party.domain,
            "user": party.user,
            "started_at": cdr.started_at,
            "id": cdr.id,
            "direction": party.direction.value,
            "on_net": cdr.is_on_net,
            "seconds": total_seconds(cdr),
            "caller": caller,
            "dialled": dialled,
            "orig_site": cdr.orig_site,
            "term_site": cdr.term_site,
        }
        for party in parties_of(cdr)
    ]


def cdr_of_body(body: bytes) -> Cdr:
    """Return the CDR in a row's body.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoder.decode(body)
