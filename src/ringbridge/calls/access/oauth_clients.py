"""Programs that may log users in: registered with a secret that is told once (RFC 6749 §2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model import names
from ringbridge.model.accounts import OAuthClient
from ringbridge.model.errors import CallError, Conflict, Fault, Refusal, invalid
from ringbridge.model.keys import hash_of
from ringbridge.model.times import instant_text
from ringbridge.model.wire import shown

CLIENT_ID: Final = names.DOMAIN
"""A client's name looks like a domain's: 1 to 64 letters, digits and `. _ -`."""
MAX_DESCRIPTION: Final = 256


class ClientView(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, kw_only=True):
    """A registered client; its secret in the answer to its creation only."""

    client_id: str
    description: str
    created_datetime: str
    client_secret: str = ""


def _view(client: OAuthClient, secret: str = "") -> ClientView:
    return ClientView(
        client_id=client.client_id,
        description=client.description,
        created_datetime=instant_text(client.created_at),
        client_secret=secret,
    )


class OAuthClients:
    """The registered clients."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, random_part: Callable[[], str]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random_part = random_part

    async def register(self, raw: Mapping[str, object]) -> tuple[ClientView, int]:
        """Register a client and return it with its secret, told this once, and the bus sequence.

        Raises:
            CallError: 400 for faults, 409 when there is one of this name.
        """
        client_id, description = raw.get("client-id"), raw.get("description", "")
        faults = []
        if not isinstance(client_id, str) or not CLIENT_ID.fullmatch(client_id):
            allowed = "1 to 64 letters, digits and . _ -"
            faults.append(Fault("client-id", "bad-name", f"must be {allowed}", allowed=allowed))
        if not isinstance(description, str) or len(description) > MAX_DESCRIPTION or not description.isprintable():
            faults.append(Fault("description", "bad-value", f"must be text of at most {MAX_DESCRIPTION} characters"))
        if faults or not isinstance(client_id, str) or not isinstance(description, str):
            raise invalid(faults)
        secret = self._random_part()
        client = OAuthClient(
            client_id=client_id,
            secret_sha256=hash_of(secret),
            description=description,
            created_at=self._clock.now(),
        )
        try:
            sequence = await self._bus.put_record(client, only_new=True)
        except Conflict as conflict:
            message = f"there is a client {client_id} already"
            raise CallError(Refusal.CONFLICT, "already-exists", message) from conflict
        return _view(client, secret), sequence

    async def all(self) -> list[ClientView]:
        """Return every client, by name."""
        return [_view(one) for one in await self._store.records("oauthclient") if isinstance(one, OAuthClient)]

    async def remove(self, client_id: str) -> int:
        """Delete a client: it logs nobody in any more, and refreshes nothing; return the bus sequence.

        Raises:
            CallError: there is none (404).
        """
        if await self._store.record("oauthclient", (client_id,)) is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-client", f"no client {shown(client_id)}")
        return await self._bus.delete_record("oauthclient", (client_id,))
