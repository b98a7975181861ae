"""What browser tests look at: `ringbridge demo` as a newcomer has it, and a second tenant beside its domain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ringbridge.cli.client import ADMIN_KEY_FILE, read_key
from tests.live.child import Child, running

STARTS_WITHIN_S = 60.0
OTHER_DOMAIN = "other.example"
PASSWORD = "correct horse 7 battery"
LOGIN = "1001@demo"


@dataclass(frozen=True, slots=True)
class Stage:
    """A running demo: domain `demo` with users 1001 and 1002, whose phones answer after 0.3 s."""

    url: str
    key: str
    """Of user 1001."""
    admin_key: str
    """A super user's."""
    other_key: str
    """Of user 2001 of `OTHER_DOMAIN`, who may see nothing of `demo`."""
    child: Child
    """The demo's process: what it prints."""

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """Return an HTTP client with a key: user 1001's where none is named, none where it is empty."""
        return _client(self.url, self.key if key is None else key)


@asynccontextmanager
async def staged(data: Path, *arguments: str) -> AsyncIterator[Stage]:
    """Run a demo for the length of a block. User 1001 can log in as `LOGIN` with `PASSWORD`."""
    ports = ("--http", "127.0.0.1:0", "--sip", "127.0.0.1:0")
    command = (sys.executable, "-m", "ringbridge", "demo", *ports, "--data", data, *arguments)
    async with running(*command, name="ringbridge demo", cwd=data) as child:
        url = (await child.wait_for(r"^  API +(\S+)", STARTS_WITHIN_S))[1]
        key = (await child.wait_for(r"^  key +(\S+)", STARTS_WITHIN_S))[1]
        admin_key = await asyncio.to_thread(read_key, data / ADMIN_KEY_FILE)
        assert admin_key is not None
        async with _client(url, admin_key) as admin:
            user = {"user": "2001", "api-keys": [{"description": "browser tests"}]}
            document = {"domains": [{"domain": OTHER_DOMAIN, "users": [user]}]}
            applied = await admin.put("/ringbridge/v1/directory", json=document)
            assert applied.status_code == 200, applied.text
            named = await admin.put("/ns-api/v2/domains/demo/users/1001", json={"user-login-password": PASSWORD})
            assert named.status_code == 202, named.text
        yield Stage(url=url, key=key, admin_key=admin_key, other_key=applied.json()["keys"][0]["key"], child=child)


def _client(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=20.0, trust_env=False)
