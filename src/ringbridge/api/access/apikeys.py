"""API keys over HTTP (contract §2)."""

from __future__ import annotations

from typing import Final

from ringbridge.api.access.auth import SELF
from ringbridge.api.directory.synchronous import written_answer
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.document.schemas import PAGE_QUERY, YES_NO
from ringbridge.api.http.answers import Accepted, Answer, Count, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.access.api_keys import no_such_key
from ringbridge.model.access import MODEL_NAMES, SCOPES
from ringbridge.model.errors import Fault, invalid
from ringbridge.model.key_orders import MAX_DESCRIPTION, MIN_DESCRIPTION, KeyView
from ringbridge.model.keys import KEY_ID_LENGTH
from ringbridge.model.wire import shown

KEYS: Final = "/ns-api/v2/apikeys"

_DESCRIPTION: Final[Schema] = {"type": "string", "minLength": MIN_DESCRIPTION, "maxLength": MAX_DESCRIPTION}
_ADDRESSES: Final[Schema] = {"type": "string", "description": "Comma list of addresses and CIDR; empty: anywhere."}
_MODELS: Final[Schema] = {
    "type": "array",
    "items": {"type": "string", "enum": list(MODEL_NAMES)},
    "description": "What the key may be used for; empty: everything.",
}
CREATE_SCHEMA: Final[Schema] = {
    "title": "CreateApikeyRequest",
    "type": "object",
    "description": "A key reaches no further than the one that makes it; limits that it does not name are its maker's.",
    "required": ["description"],
    "properties": {
        "description": _DESCRIPTION,
        "reseller": {"type": "string", "default": "*"},
        "domain": {
            "type": "string",
            "pattern": r"^([A-Za-z0-9._-]{1,64}|~|\*)$",
            "description": "Default: its maker's.",
        },
        "user": {"type": "string", "pattern": r"^([A-Za-z0-9._-]{1,16}|~|\*)$", "default": "*"},
        "user-scope": {"type": "string", "enum": list(SCOPES), "description": "Default: what its place is for."},
        "ip-address": _ADDRESSES,
        "readonly": YES_NO | {"default": "no"},
        "can-create-keys": YES_NO | {"default": "no"},
        "allowed-models": _MODELS,
        "expires-datetime": {"type": "string", "description": "Default: never. Of ours."},
    },
}
UPDATE_SCHEMA: Final[Schema] = {
    "title": "UpdateApikeyRequest",
    "type": "object",
    "description": "Fields that are not named stay as they are; scope and place of a key never change.",
    "properties": {"description": _DESCRIPTION, "ip-address": _ADDRESSES, "allowed-models": _MODELS},
}
CREATE_EXAMPLE: Final[Schema] = {
    "description": "click-to-call of the CRM",
    "domain": "demo",
    "user": "1001",
    "user-scope": "Basic User",
    "ip-address": "192.0.2.0/24",
    "readonly": "no",
    "can-create-keys": "no",
    "allowed-models": ["call", "cdr"],
}


class KeyHandlers:
    """Handlers of `/apikeys`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._keys = parts.accounts.keys

    async def create(self, request: Request) -> Answer:
        """Make a key: 200 with its text, which is told this once."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        view, sequence = await self._keys.create(body, request.principal)
        # So that it can be used here at once; a late copy makes it no less made.
        await self._parts.replica.wait_directory(sequence, timeout_s=self._parts.settings.sync_wait_s)
        return json_answer(view)

    async def list_all(self, request: Request) -> Answer:
        """List the keys that the token rules over."""
        page = request.page()
        found = await self._keys.visible(request.principal)
        first = page.start - 1
        return page_answer(found[first : first + page.limit], page=page, path=request.path, total=len(found))

    async def count(self, request: Request) -> Answer:
        """Count the keys that the token rules over."""
        return json_answer(Count(await self._keys.count(request.principal)))

    async def read(self, request: Request) -> Answer:
        """Read one key; `~` is the one in use."""
        return json_answer(await self._keys.read(_key_id(request), request.principal))

    async def update(self, request: Request) -> Answer:
        """Change a key's description, addresses or models."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        sequence = await self._keys.update(_key_id(request), body, request.principal)
        return await written_answer(self._parts, sequence)

    async def revoke(self, request: Request) -> Answer:
        """Delete a key: it is void within the second."""
        return await written_answer(self._parts, await self._keys.revoke(_key_id(request), request.principal))


def _key_id(request: Request) -> str:
    name = request.params["key_id"]
    if name == SELF:
        if request.principal.is_login:
            message = "is ~, but this token is no API key; name one"
            raise invalid([Fault("key-id", "token-is-no-key", message, found=SELF, allowed="a key-id")])
        return request.principal.key_id
    if len(name) != KEY_ID_LENGTH or not (name.isascii() and name.isalnum()):
        raise no_such_key(shown(name))
    return name


def operations(handlers: KeyHandlers) -> list[Operation]:
    """Return the operations of API keys."""
    accepted = Reply(202, "Accepted.", Accepted)
    return [
        Operation(
            name="create-apikey",
            method="POST",
            path=KEYS,
            access=Access.TOKEN,
            handle=handlers.create,
            tag="API keys",
            summary="Create an API key",
            description="Takes a key with `can-create-keys`, or the login of an Office Manager or above. The key is "
            "shown this once.",
            body=CREATE_SCHEMA,
            body_example=CREATE_EXAMPLE,
            replies=(Reply(200, "The key.", KeyView),),
            refusals=(503,),
        ),
        Operation(
            name="list-apikeys",
            method="GET",
            path=KEYS,
            access=Access.TOKEN,
            handle=handlers.list_all,
            tag="API keys",
            summary="List the API keys that the token rules over",
            query=PAGE_QUERY,
            replies=(Reply(200, "Keys, by key-id.", list[KeyView], ("Link", "X-Total-Count")),),
        ),
        Operation(
            name="count-apikeys",
            method="GET",
            path=KEYS + "/count",
            access=Access.TOKEN,
            handle=handlers.count,
            tag="API keys",
            summary="Count the API keys that the token rules over",
            replies=(Reply(200, "How many.", Count),),
        ),
        Operation(
            name="read-apikey",
            method="GET",
            path=KEYS + "/{key-id}",
            access=Access.TOKEN,
            handle=handlers.read,
            tag="API keys",
            summary="Read an API key; `~` is the one in use",
            replies=(Reply(200, "The key.", KeyView),),
        ),
        Operation(
            name="update-apikey",
            method="PUT",
            path=KEYS + "/{key-id}",
            access=Access.TOKEN,
            handle=handlers.update,
            tag="API keys",
            summary="Update an API key",
            body=UPDATE_SCHEMA,
            body_example={"description": "click-to-call of the old CRM"},
            replies=(accepted,),
            refusals=(409, 503),
        ),
        Operation(
            name="revoke-apikey",
            method="DELETE",
            path=KEYS + "/{key-id}",
            access=Access.TOKEN,
            handle=handlers.revoke,
            tag="API keys",
            summary="Revoke an API key",
            replies=(accepted,),
            refusals=(503,),
        ),
    ]
