"""Server transactions (RFC 3261 §17.2, RFC 6026)."""

from __future__ import annotations


class ServerTransaction:
    """One request being answered; the application's handle for `Endpoint.respond`."""

    __slots__ = ()
