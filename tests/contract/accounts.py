"""Keys, logins and second factors, as the tests of section 2 make them."""

from __future__ import annotations

import base64
import hmac
import struct
import time

import httpx

from tests.contract.wire import PASSWORD, Json, Server, Tenant, answered, new_id, user_body

GRANT = {"grant_type": "password", "client_id": "ringbridge", "client_secret": ""}
"""A public client, that has no secret."""


def short() -> str:
    """Return a name of its own that can name a user too."""
    return new_id()[-10:]


def made_key(api: httpx.Client, **fields: Json) -> dict[str, Json]:
    """Make an API key; return it as it is told this once."""
    body = {"description": "A key of the contract's tests"}
    body |= {name.replace("_", "-"): value for name, value in fields.items()}
    return dict(answered(api.post("/apikeys", json=body), 200))


def with_key(server: Server, api: httpx.Client, **fields: Json) -> httpx.Client:
    """Return the API as whoever holds a new key sees it."""
    return server.client(str(made_key(api, **fields)["key"]))


def made_user(tenant: Tenant, **fields: Json) -> str:
    """Make a user of its own; return its name."""
    name = short()
    body = user_body(name) | {field.replace("_", "-"): value for field, value in fields.items()}
    answered(tenant.api.post(f"{tenant.path}/users", json=body), 202)
    return name


def person(tenant: Tenant, **fields: Json) -> str:
    """Make a user who logs in with `PASSWORD`; return its name."""
    return made_user(tenant, user_login_password=PASSWORD, **fields)


def grant(tenant: Tenant, user: str, **more: Json) -> dict[str, Json]:
    """Return the body of a login by password."""
    return GRANT | {"username": f"{user}@{tenant.domain}", "password": PASSWORD} | more


def passcode(secret: str, *, step: int = 0) -> str:
    """Return what an authenticator shows `step` half minutes from now (RFC 6238 with its defaults)."""
    counter = struct.pack(">Q", int(time.time()) // 30 + step)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF) % 1_000_000:06}"
