"""The directory as one document (ours): `PUT` makes it match, `GET` exports it."""

from __future__ import annotations

from typing import Final

from ringbridge.api.document.operations import Access, Operation, QueryField, Reply, Schema
from ringbridge.api.document.schemas import YES_NO
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.errors import error_answer
from ringbridge.api.http.requests import Request, header
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.provision import Applied, KeysMade

PATH = "/ringbridge/v1/directory"

DOCUMENT_SCHEMA: Final[Schema] = {
    "title": "DirectoryDocument",
    "type": "object",
    "description": "Domains with their users, devices, numbers, dial rules, connections and API keys, by the names of "
    "the API. Inside the domains that it names, what it does not name is deleted.",
    "additionalProperties": False,
    "properties": {
        "domains": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["domain"],
                "properties": {"domain": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}},
            },
        },
        "api-keys": {
            "type": "array",
            "description": "Keys that belong to no domain.",
            "items": {
                "type": "object",
                "required": ["description"],
                "properties": {"description": {"type": "string", "minLength": 12}},
            },
        },
        "prune": {"description": "`yes` deletes domains that are not named."} | YES_NO,
    },
}
EXAMPLE: Final[Schema] = {
    "domains": [
        {
            "domain": "demo",
            "users": [
                {
                    "user": "1001",
                    "name-first-name": "Ada",
                    "devices": [{"device": "1001", "device-sip-registration-password": "a-long-secret"}],
                    "api-keys": [{"description": "click-to-call of the CRM"}],
                }
            ],
        }
    ]
}


class DirectoryHandlers:
    """Handlers of the directory document."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def apply(self, request: Request) -> Answer:
        """Make the directory match the body; wait until this node shows it, so that a new key works at once."""
        dry_run = request.yes_no("dry-run")
        body = await request.json_object(limit=self._parts.settings.directory_limit)
        try:
            applied = await self._parts.provision.apply(body, request.principal, dry_run=dry_run)
        except KeysMade as broken:
            # Nobody will be told of them again.
            keys, accept = {"keys": broken.keys}, header(request.scope, b"accept")
            return error_answer(broken, request_id=request.request_id, accept=accept, more=keys)
        if applied.sequence:
            wait_s = self._parts.settings.sync_wait_s
            await self._parts.replica.wait_directory(applied.sequence, timeout_s=wait_s)
        return json_answer(applied)

    async def export(self, request: Request) -> Answer:
        """Return the document of what the token rules over."""
        return json_answer(await self._parts.provision.export(request.principal))


def operations(handlers: DirectoryHandlers) -> list[Operation]:
    """Return the operations of the directory document."""
    return [
        Operation(
            name="apply-directory",
            method="PUT",
            path=PATH,
            access=Access.MANAGER,
            handle=handlers.apply,
            tag="Directory",
            summary="Make the directory match a document",
            description="Safe to repeat. New API keys are shown once, in `keys` of the answer, also of a failure "
            "(409, 503) before which some were made.",
            query=(QueryField("dry-run", "Only say what would change.", YES_NO | {"default": "no"}),),
            body=DOCUMENT_SCHEMA,
            body_example=EXAMPLE,
            replies=(Reply(200, "What was changed.", Applied),),
            refusals=(403, 409, 503),
        ),
        Operation(
            name="export-directory",
            method="GET",
            path=PATH,
            access=Access.MANAGER,
            handle=handlers.export,
            tag="Directory",
            summary="Export the directory as a document, without secrets",
            replies=(Reply(200, "The document.", DOCUMENT_SCHEMA),),
            refusals=(403,),
        ),
    ]
