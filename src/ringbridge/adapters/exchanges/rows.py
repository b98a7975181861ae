"""An exchange as a row of the request history: what it is searched by in columns, all of it in one packed body."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from ringbridge.model.exchanges import NO_BODY, Exchange, Headers, KeptExchange
from ringbridge.model.masking import keep_answered, keep_asked, keep_query, looks_secret, without_secrets

Row: TypeAlias = tuple[int, str, str, str, int, str, str, str, str, int, bytes]

COLUMNS: Final = (
    "id",
    "domain",
    "user",
    "reseller",
    "rank",
    "key_id",
    "operation",
    "method",
    "path",
    "status",
    "body",
)
CREATE: Final = (
    """CREATE TABLE exchanges (
        id INTEGER PRIMARY KEY, domain TEXT NOT NULL, user TEXT NOT NULL, reseller TEXT NOT NULL,
        rank INTEGER NOT NULL, key_id TEXT NOT NULL, operation TEXT NOT NULL, method TEXT NOT NULL,
        path TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL
    )""",
    "CREATE INDEX exchanges_of_domain ON exchanges (domain)",
)
VERSION: Final = 1
"""Of the table and the packed body; a file of another version is begun anew."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(KeptExchange).decode


def row_of(row_id: int, exchange: Exchange) -> Row:
    """Return the row of an exchange, without the secrets that are in it."""
    by, path, request_id = exchange.by, exchange.path, exchange.request_id
    if looks_secret(path) or looks_secret(request_id):
        path, request_id = without_secrets(path), without_secrets(request_id)
    kept = KeptExchange(
        row_id,
        exchange.seconds,
        exchange.operation,
        exchange.method,
        path,
        keep_query(exchange.query) if exchange.query else "",
        exchange.status,
        by.key_id,
        by.domain,
        by.user,
        by.reseller,
        by.scope.wire,
        by.is_login,
        exchange.address,
        request_id,
        _clean(exchange.headers),
        keep_asked(exchange.body, exchange.body_size) if exchange.body_size else NO_BODY,
        exchange.answer_headers,
        keep_answered(exchange.answer, exchange.answer_size, tells_secrets=exchange.tells_secrets),
    )
    return (
        row_id,
        by.domain,
        by.user,
        by.reseller,
        by.scope.rank,
        by.key_id,
        exchange.operation,
        exchange.method,
        path,
        exchange.status,
        _pack(kept),
    )


@lru_cache(maxsize=1024)
def _clean(headers: Headers) -> Headers:
    """Return headers without secrets; a client sends the same ones again and again."""
    return tuple([(name, without_secrets(value.decode("latin-1")).encode("latin-1")) for name, value in headers])


def exchange_of(body: bytes) -> KeptExchange:
    """Return the exchange in a row's body."""
    return _unpack(body)
