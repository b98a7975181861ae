"""A node as its operator has it, `ringbridge serve` in a process of its own, that can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from ringbridge.adapters.relay.process import ADDRESS_FILE, Running
from ringbridge.bench.processes import free_port
from ringbridge.cli.client import ADMIN_KEY_FILE, calls_path, read_key
from tests.live.child import Child, running

DOMAIN = "acme"
USER = "1000"
CALLER_ID = "+4531000000"
PASSWORD = "a phone's own secret"
READY_S = 30.0


async def until(holds: Callable[[], object], *, within_s: float, what: str = "") -> None:
    """Return once `holds` is true.

    Raises:
        AssertionError: it is not, `within_s` seconds later.
    """
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"not within {within_s} s: {what or holds}"
        await asyncio.sleep(0.01)


class Node:
    """One node. Its ports and its data stay the same when it is started again."""

    def __init__(self, *, arguments: tuple[str, ...] = (), settings: Mapping[str, object] | None = None) -> None:
        """`settings` are configuration keys with a dot, `calls.orig_ring_timeout_s`."""
        self.data = Path(tempfile.mkdtemp(prefix="rb-"))
        self.http_port, self.sip_port = free_port(), free_port()
        self._arguments = arguments
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGBRIDGE_")}
        for key, value in (settings or {}).items():
            self._environment["RINGBRIDGE_" + key.replace(".", "_").upper()] = str(value)
        self._stack = AsyncExitStack()
        self._child: Child | None = None
        self.key: str | None = None
        self.stories: list[list[str]] = []
        """What each run of the process has printed."""

    @property
    def child(self) -> Child:
        """The process that runs now."""
        assert self._child is not None
        return self._child

    @property
    def relay(self) -> Running:
        """The relay that is this node's now, by its own file."""
        return msgspec.json.decode((self.data / "relay" / ADDRESS_FILE).read_bytes(), type=Running)

    @property
    def nats_pid(self) -> int:
        """The bus's process."""
        return int((self.data / "bus" / "nats-server.pid").read_text())

    async def launch(self) -> None:
        """Start the process; it may not be ready for a while."""
        child = running(
            sys.executable,
            "-m",
            "ringbridge",
            "serve",
            *("--data", self.data, "--http", f"127.0.0.1:{self.http_port}", "--sip", f"127.0.0.1:{self.sip_port}"),
            *self._arguments,
            name="ringbridge serve",
            env=self._environment,
            cwd=self.data,
        )
        self._child = await self._stack.enter_async_context(child)
        self.stories.append(self._child.lines)

    async def ready(self) -> None:
        """Return once it takes calls."""
        await self.child.wait_for("Ringbridge is ready", READY_S)
        self.key = self.key or read_key(self.data / ADMIN_KEY_FILE)

    async def start(self) -> None:
        """Start it and return once it takes calls."""
        await self.launch()
        await self.ready()

    async def kill(self) -> None:
        """Kill the process with SIGKILL and return when it is gone. Its relay goes on; its bus is asked to end."""
        assert await self.child.stop(signal.SIGKILL) == -signal.SIGKILL

    async def close(self) -> None:
        """End everything that it started, by their own ids, and forget its data."""
        try:
            await self._stack.aclose()
        finally:
            await self._end_relay()
            shutil.rmtree(self.data)

    async def _end_relay(self) -> None:
        """End the relay that a killed node left running, which is told by the process's own command line."""
        try:
            pid = self.relay.pid
        except (FileNotFoundError, msgspec.DecodeError):
            return
        if str(self.data / "relay") in _command_line(pid):
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not _command_line(pid), within_s=5)

    def faults(self) -> list[str]:
        """Return the lines that it printed which a person should look at."""
        words = ("[error", '"level":"error"', '"level": "error"', "Traceback")
        return [line for story in self.stories for line in story if any(word in line for word in words)]


def _command_line(pid: int) -> str:
    """Return a process's command line; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@asynccontextmanager
async def node(
    document: Mapping[str, object] | None = None,
    *,
    arguments: tuple[str, ...] = (),
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[tuple[Node, Api]]:
    """Run a node with a directory, for as long as the context lasts."""
    one = Node(arguments=arguments, settings=settings)
    try:
        await one.start()
        async with Api(one) as api:
            if document is not None:
                await api.apply(document)
            yield one, api
    finally:
        await one.close()


class Api:
    """A node's HTTP API, as a client that looks at statuses and bodies."""

    def __init__(self, node: Node, *, domain: str = DOMAIN, user: str = USER) -> None:
        self.domain = domain
        self.path = calls_path(domain, user)
        headers = {"Authorization": f"Bearer {node.key}"}
        url = f"http://127.0.0.1:{node.http_port}"
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=20.0, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def apply(self, document: Mapping[str, object]) -> None:
        """Make the directory match."""
        answer = await self.http.put("/ringbridge/v1/directory", json=document)
        assert answer.status_code == 200, answer.text

    async def post(self, call_id: str, orig: str, term: str, **more: str) -> httpx.Response:
        """POST a call; `more` has underscores for dashes."""
        body = {"call-id": call_id, "call-orig-user": orig, "call-term-user": term}
        return await self.http.post(
            self.path, json=body | {name.replace("_", "-"): value for name, value in more.items()}
        )

    async def place(self, call_id: str, orig: str, term: str, **more: str) -> None:
        """POST a call that has to be accepted."""
        answer = await self.post(call_id, orig, term, **more)
        assert answer.status_code in (200, 202), answer.text

    async def call(self, call_id: str) -> dict[str, Any]:
        """Read a call."""
        answer = await self.http.get(f"{self.path}/{call_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def in_state(self, call_id: str, *states: str, within_s: float = 10.0) -> dict[str, Any]:
        """Return a call once it is in one of `states`."""
        end = time.monotonic() + within_s
        while True:
            answer = await self.http.get(f"{self.path}/{call_id}")
            if answer.status_code == 200 and answer.json()["call-state"] in states:
                return dict(answer.json())
            assert time.monotonic() < end, f"{call_id} not {states} within {within_s} s: {answer.text}"
            await asyncio.sleep(0.02)

    async def delete(self, call_id: str) -> int:
        """DELETE a call; return the status."""
        return (await self.http.delete(f"{self.path}/{call_id}")).status_code

    async def cdr(self, call_id: str, *, within_s: float = 10.0) -> dict[str, Any]:
        """Return a call's CDR once there is one."""
        end = time.monotonic() + within_s
        while True:
            answer = await self.http.get(f"{self.path}/{call_id}/cdr")
            if answer.status_code == 200:
                return dict(answer.json())
            state = await self.http.get(f"{self.path}/{call_id}")
            assert time.monotonic() < end, f"{call_id} has no CDR after {within_s} s: {state.text}"
            await asyncio.sleep(0.03)

    async def cdrs(self) -> list[dict[str, Any]]:
        """Return all CDRs of the domain, newest first."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"start": len(found) + 1, "limit": 1000}
            answer = await self.http.get(f"/ns-api/v2/domains/{self.domain}/cdrs", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page
            if len(page) < 1000:
                return found

    async def active(self) -> int:
        """Return how many calls of the domain are active."""
        answer = await self.http.get(f"/ns-api/v2/domains/{self.domain}/calls/count")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    async def quiet(self, *, within_s: float = 10.0) -> None:
        """Return once no call is active."""
        end = time.monotonic() + within_s
        while (left := await self.active()) > 0:
            assert time.monotonic() < end, f"{left} calls are active after {within_s} s"
            await asyncio.sleep(0.05)


def connection(name: str, port: int, **more: object) -> dict[str, object]:
    """Return a connection to a port of this machine; `more` has underscores for dashes."""
    given = {key.replace("_", "-"): value for key, value in more.items()}
    return {"connection-orig-match-pattern": name, "connection-address": f"127.0.0.1:{port}", **given}


def rule(prefix: str, to: str) -> dict[str, object]:
    """Return the dial rule that sends the numbers that begin with `prefix` through a connection, as they are."""
    return {
        "dial-rule-dial-plan": DOMAIN,
        "dialrule": f"to-{to}",
        "dail-rule-matching-to-uri": f"sip:{prefix}*@*",
        "dial-rule-translation-destination-user": f"{prefix}[*]",
        "dial-rule-application": "to-connection",
        "dial-rule-parameter": to,
    }


def user(name: str, *devices: str, **more: object) -> dict[str, object]:
    """Return a user with devices, whose passwords are `PASSWORD`."""
    return {
        "user": name,
        "name-first-name": f"User {name}",
        "caller-id-number": CALLER_ID,
        "devices": [{"device": device, "device-sip-registration-password": PASSWORD} for device in devices],
        **{key.replace("_", "-"): value for key, value in more.items()},
    }


def document(
    *,
    connections: list[dict[str, object]] | None = None,
    rules: list[dict[str, object]] | None = None,
    users: list[dict[str, object]] | None = None,
) -> dict[str, object]:
    """Return a directory with one domain, which always has `USER`."""
    domain = {
        "domain": DOMAIN,
        "users": [user(USER), *(users or [])],
        "connections": connections or [],
        "dialrules": rules or [],
    }
    return {"domains": [domain]}
