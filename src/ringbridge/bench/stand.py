"""The stand of a measurement: a bus, a node with the engine, a node with the API, SIPp behind two connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.bench.processes import Child, free_port, ringbridge, unpin, wait_for_port

DOMAIN, USER = "bench", "1000"
START_S = 60.0


@dataclass(slots=True)
class Stand:
    """What runs, and where."""

    folder: Path
    nats: NatsServer
    api: Child
    engine: Child
    relay_pid: int
    http_port: int
    sip_port: int
    orig_port: int
    """Where the phones of first legs are to listen."""
    term_port: int
    key: str


def directory(orig_port: int, term_port: int) -> dict[str, object]:
    """Return the document: a user whose numbers lead to two connections."""

    def connection(name: str, port: int) -> dict[str, object]:
        return {"connection-orig-match-pattern": name, "connection-address": f"127.0.0.1:{port}"}

    def rule(name: str, pattern: str, to: str) -> dict[str, object]:
        return {
            "dial-rule-dial-plan": DOMAIN,
            "dialrule": name,
            "dail-rule-matching-to-uri": pattern,
            "dial-rule-application": "to-connection",
            "dial-rule-parameter": to,
        }

    user = {
        "user": USER,
        "name-first-name": "Bench",
        "name-last-name": "User",
        "email-address": "bench@example.org",
        "caller-id-number": "4531000000",
    }
    return {
        "domains": [
            {
                "domain": DOMAIN,
                "users": [user],
                "connections": [connection("orig", orig_port), connection("term", term_port)],
                "dialrules": [rule("first", "sip:71*@*", "orig"), rule("second", "sip:72*@*", "term")],
            }
        ]
    }


@asynccontextmanager
async def stand(folder: Path, *, pin: bool) -> AsyncIterator[Stand]:
    """Run the stand; `pin` holds the engine to one core."""
    async with AsyncExitStack() as stack:
        nats = NatsServer(ServerSettings(folder / "bus"))
        url = await nats.start()
        stack.push_async_callback(nats.stop)
        http_port, sip_port = free_port(), free_port()
        common = ("--bus", url, "--log-level", "warning")
        engine = Child(
            ringbridge("serve", "--role", "engine", "--sip", str(sip_port), "--data", str(folder / "engine"), *common),
            log=folder / "engine.log",
            core=0 if pin else None,
        )
        stack.callback(engine.stop)
        api = Child(
            ringbridge("serve", "--role", "api", "--http", str(http_port), "--data", str(folder / "api"), *common),
            log=folder / "api.log",
        )
        stack.callback(api.stop)
        await asyncio.to_thread(wait_for_port, sip_port, engine, deadline_s=START_S)
        await asyncio.to_thread(wait_for_port, http_port, api, deadline_s=START_S)
        key = (folder / "api" / "admin.key").read_text().strip()
        orig_port, term_port = free_port(), free_port()
        await provision(http_port, key, directory(orig_port, term_port))
        relay_pid = _relay_pid(folder / "engine" / "relay")
        unpin(relay_pid)
        yield Stand(folder, nats, api, engine, relay_pid, http_port, sip_port, orig_port, term_port, key)


@dataclass(slots=True)
class SoloStand:
    """One process with everything, or with the API alone, on its embedded bus."""

    node: Child
    http_port: int
    orig_port: int
    term_port: int
    key: str


@asynccontextmanager
async def solo(
    folder: Path, *options: str, orig_port: int = 0, term_port: int = 0, core: int | None = None
) -> AsyncIterator[SoloStand]:
    """Run one node, as a newcomer would if there are no more `options`; `core` holds it to one."""
    http_port, sip_port = free_port(), free_port()
    arguments = ["--http", str(http_port), "--sip", str(sip_port), "--data", str(folder), "--log-level", "warning"]
    arguments += options
    with closing(Child(ringbridge("serve", *arguments), log=folder.with_suffix(".log"), core=core)) as node:
        await asyncio.to_thread(wait_for_port, http_port, node, deadline_s=START_S)
        key = (folder / "admin.key").read_text().strip()
        orig_port, term_port = orig_port or free_port(), term_port or free_port()
        await provision(http_port, key, directory(orig_port, term_port))
        yield SoloStand(node, http_port, orig_port, term_port, key)


async def provision(http_port: int, key: str, document: dict[str, object]) -> None:
    """Make the directory of a stand."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=30) as client:
        headers = {"Authorization": f"Bearer {key}"}
        answer = await client.put("/ringbridge/v1/directory", json=document, headers=headers)
        answer.raise_for_status()


def _relay_pid(folder: Path) -> int:
    found: dict[str, object] = msgspec.json.decode((folder / "relay.json").read_bytes())
    return int(str(found["pid"]))
