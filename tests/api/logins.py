"""Logging in, as tests of tokens do it."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from ringbridge.model.access import Scope
from ringbridge.model.directory import User
from tests.api.world import World

TOKENS = "/ns-api/v2/tokens"
JWT = "/ns-api/v2/jwt"
PASSWORD = "correct horse battery"
CLIENT = {"client_id": "ringbridge", "client_secret": ""}


async def give_password(world: World, user: str = "1001", *, domain: str = "demo", scope: Scope | None = None) -> None:
    """Give a user a password, and perhaps a scope."""
    if scope is not None:
        record = await world.store.user(domain, user)
        assert isinstance(record, User)
        world.put(msgspec.structs.replace(record, user_scope=scope.wire))
    await settle(world, await world.accounts.credentials.set_password(domain, user, PASSWORD))


async def settle(world: World, sequence: int | None = None) -> None:
    """Wait until the store shows what the bus has."""
    assert await world.replica.wait_directory(sequence or world.directory_sequence, timeout_s=2)


async def log_in(world: World, path: str = TOKENS, *, address: str = "127.0.0.1", **fields: str) -> httpx.Response:
    """Log 1001@demo in, unless the fields say otherwise."""
    body = CLIENT | {"grant_type": "password", "username": "1001@demo", "password": PASSWORD} | fields
    async with world.client("", address=address) as client:
        answer = await client.post(path, json=body)
    await settle(world)
    return answer


async def token(world: World, **fields: str) -> str:
    return str((await log_in(world, **fields)).json()["access_token"])


async def ask(world: World, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    async with world.client(token) as client:
        answer = await client.request(method, path, json=body)
    await settle(world)
    return answer
