"""Programs that may log users in (of ours): registered by super users."""

from __future__ import annotations

from typing import Final

from ringbridge.api.directory.synchronous import written_answer
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.http.answers import Accepted, Answer, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.access.oauth_clients import CLIENT_ID, MAX_DESCRIPTION, ClientView
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.wire import shown

PATH: Final = "/ringbridge/v1/oauth-clients"

CREATE_SCHEMA: Final[Schema] = {
    "title": "CreateClientRequest",
    "type": "object",
    "required": ["client-id"],
    "properties": {
        "client-id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "description": {"type": "string", "maxLength": MAX_DESCRIPTION},
    },
}


class ClientHandlers:
    """Handlers of clients."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._clients = parts.accounts.clients

    async def register(self, request: Request) -> Answer:
        """Register a client: 200 with its secret, which is told this once."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        view, sequence = await self._clients.register(body)
        await self._parts.replica.wait_directory(sequence, timeout_s=self._parts.settings.shown_wait_s)
        return json_answer(view)

    async def list_all(self, request: Request) -> Answer:
        """List the clients."""
        page = request.page()
        found = await self._clients.all()
        first = page.start - 1
        return page_answer(found[first : first + page.limit], page=page, path=request.path, total=len(found))

    async def remove(self, request: Request) -> Answer:
        """Delete a client."""
        name = request.params["client_id"]
        if not CLIENT_ID.fullmatch(name):
            raise CallError(Refusal.NOT_FOUND, "no-such-client", f"no client {shown(name)}")
        return await written_answer(self._parts, await self._clients.remove(name))


def operations(handlers: ClientHandlers) -> list[Operation]:
    """Return the operations of clients."""
    return [
        Operation(
            name="register-client",
            method="POST",
            path=PATH,
            access=Access.SUPER,
            handle=handlers.register,
            tag="Tokens",
            summary="Register a program that may log users in",
            description="Its secret is shown this once. Until one is registered, the public client of the "
            "configuration logs users in without a secret.",
            body=CREATE_SCHEMA,
            body_example={"client-id": "crm", "description": "The CRM's portal"},
            replies=(Reply(200, "The client.", ClientView),),
            refusals=(409, 503),
        ),
        Operation(
            name="list-clients",
            method="GET",
            path=PATH,
            access=Access.SUPER,
            handle=handlers.list_all,
            tag="Tokens",
            summary="List the programs that may log users in",
            query=PAGE_QUERY,
            replies=(Reply(200, "Clients, by name.", list[ClientView], ("Link", "X-Total-Count")),),
        ),
        Operation(
            name="remove-client",
            method="DELETE",
            path=PATH + "/{client-id}",
            access=Access.SUPER,
            handle=handlers.remove,
            tag="Tokens",
            summary="Remove a program: it logs nobody in any more",
            replies=(Reply(202, "Accepted.", Accepted),),
            refusals=(503,),
        ),
    ]
