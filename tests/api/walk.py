"""Calling any operation of the API with any token: what the walk over all of them is made of."""

from __future__ import annotations

from typing import cast

import httpx

from ringbridge.api.document.openapi import PATH_FIELDS, path_names
from ringbridge.api.document.operations import Access, Operation
from tests.api.world import World

BY_PATH = frozenset({Access.DOMAIN, Access.USER})
"""Classes that are decided by the path's domain."""


def path_of(operation: Operation, *, domain: str, user: str) -> str:
    """Return the operation's path with the names filled in; names beside domain and user from their examples."""
    known = {"domain": domain, "user": user}
    path = operation.path
    for name in path_names(path):
        path = path.replace("{" + name + "}", known.get(name) or cast("str", PATH_FIELDS[name]["example"]))
    return path


async def ask_operation(
    world: World,
    operation: Operation,
    key: str,
    *,
    domain: str = "demo",
    user: str = "1001",
    address: str = "127.0.0.1",
) -> httpx.Response:
    """Call one operation with the body of its example."""
    async with world.client(key, address=address) as client:
        path = path_of(operation, domain=domain, user=user)
        return await client.request(operation.method, path, json=operation.body_example)
