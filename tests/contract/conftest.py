"""A server to ask: the one that the options name, or `ringbridge serve`, started here on free loopback ports.

    pytest tests/contract                                                  starts its own
    pytest tests/contract --base-url https://… --key nss_… --sip host:port   asks that one

CONTRACT_BASE_URL, CONTRACT_KEY and CONTRACT_SIP say the same. The tests know of the server only that address and a
super user's key; nothing here imports Ringbridge, and what the starter runs are its commands. `--receiver` (or
CONTRACT_RECEIVER) is an address of this machine that the server may send events to, as its operator has allowed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.carrier import Carrier, carrying, free_port, handset
from tests.contract.wire import PASSWORD, PHONES, Server, Tenant, until

OPTIONS = {
    "--base-url": "CONTRACT_BASE_URL",
    "--key": "CONTRACT_KEY",
    "--sip": "CONTRACT_SIP",
    "--receiver": "CONTRACT_RECEIVER",
}
RECEIVER = "127.0.0.2"
"""Where our own server may send events to: loopback, but another address of it than the one that stays refused."""
STARTS_WITHIN_S = 60.0  # on a busy machine


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract")
    for option, variable in OPTIONS.items():
        group.addoption(option, default=os.environ.get(variable), help=f"of the server to ask (or {variable})")


def _option(config: pytest.Config, name: str) -> str | None:
    """Return an option, or its variable where pytest was not told this folder and has not read the options."""
    value = config.getoption(name, default=os.environ.get(OPTIONS[name]))
    return None if value is None else str(value)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """Return what all tests ask."""
    url, key, sip, receiver = (_option(pytestconfig, name) for name in OPTIONS)
    if url is None:
        with _served() as ours:
            yield ours
        return
    assert key is not None, "--base-url needs --key: a super user's API key"
    url = url.rstrip("/")
    yield Server(
        url, url if url.startswith("https:") else "", key, sip or f"{urlsplit(url).hostname}:5060", receiver or ""
    )


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[httpx.Client]:
    """Return the API as the super user sees it."""
    with server.client(server.key) as client:
        yield client


@pytest.fixture(scope="session")
def tenant(api: httpx.Client) -> Iterator[Tenant]:
    """Return a domain of this run with the users of `PHONES`, each with a device of the same name."""
    with _tenant(api) as made:
        yield made


@pytest.fixture(scope="session")
def other(api: httpx.Client) -> Iterator[Tenant]:
    """Return another tenant's domain, with the same users."""
    with _tenant(api) as made:
        yield made


@pytest.fixture(scope="session")
def handsets(server: Server, tenant: Tenant) -> Iterator[dict[str, Carrier]]:
    """Return the tenant's phones, which are registered: of 1000 and 1001, who answer, and 1002, who only rings."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(handset(server.sip, device=name, domain=tenant.domain, says=says))
            for name, says in PHONES.items()
        }


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    """Return whom a connection may lead to, that refuses every call unless it is told otherwise."""
    with carrying() as one:
        yield one


@pytest.fixture(scope="session")
def phones(tenant: Tenant, handsets: dict[str, Carrier]) -> Tenant:
    """Return the tenant once its phones are registered."""
    for name in handsets:
        device = f"{tenant.path}/users/{name}/devices/{name}"
        until(partial(_is_registered, tenant.api, device), what=f"{device} registers")
    return tenant


@pytest.fixture(scope="session")
def real_phones(server: Server, api: httpx.Client) -> Iterator[Tenant]:
    """Return a domain whose phones are programs of their own, and talk."""
    with _tenant(api) as made, ExitStack() as stack:
        for name, says in PHONES.items():
            arguments = ["--user", name, "--domain", made.domain, "--password", PASSWORD, "--registrar", server.sip]
            arguments += ["--answer-after", "0" if says else "3600"]
            stack.enter_context(_process("phone", *arguments))
        for name in PHONES:
            device = f"{made.path}/users/{name}/devices/{name}"
            until(partial(_is_registered, api, device), within_s=STARTS_WITHIN_S, what=f"{device} registers")
        yield made


def _is_registered(api: httpx.Client, path: str) -> bool:
    return bool(api.get(path).json().get("device-sip-registration-state") == "registered")


@contextmanager
def _tenant(api: httpx.Client) -> Iterator[Tenant]:
    """Make a domain that is gone afterwards, with all that is in it."""
    made = Tenant(api, f"contract-{secrets.token_hex(4)}.example")
    made.build()
    try:
        yield made
    finally:
        api.delete(made.path, params={"cascade": "yes"})


@contextmanager
def _served() -> Iterator[Server]:
    """Run `ringbridge serve` for the session."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it; no disk is waited for
    data = Path(
        tempfile.mkdtemp(prefix="rb-", dir=memory if memory.is_dir() else None)
    )  # short: it holds a unix socket
    http, sip, https = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", str(free_port())
    try:
        arguments = ["--data", data, "--http", http, "--sip", sip, "--https", "self-signed"]
        with _process("serve", *arguments, RINGBRIDGE_HTTP_HTTPS_PORT=https) as log:
            until(lambda: "Ringbridge is ready" in log.read_text(), within_s=STARTS_WITHIN_S, what="serve is ready")
            key = (data / "admin.key").read_text().strip()
            yield Server(f"http://{http}", f"https://127.0.0.1:{https}", key, sip, RECEIVER)
    finally:
        shutil.rmtree(data)


@contextmanager
def _process(command: str, *arguments: object, **settings: str) -> Iterator[Path]:
    """Run a command of Ringbridge; give the file of what it prints, and end it by its own id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RINGBRIDGE_")}
    environment |= {"RINGBRIDGE_WEBHOOKS_ALLOWED_NETWORKS": f"{RECEIVER}/32"}
    environment |= {"RINGBRIDGE_SIP_DIGEST_ALGORITHMS": "MD5"} | settings  # which SIPp knows
    with tempfile.NamedTemporaryFile(prefix=f"{command}-") as log:
        line = [sys.executable, "-m", "ringbridge", command, *map(str, arguments)]
        with ended(subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)):
            yield Path(log.name)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Run a process for the length of a block, and end it by its own id."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
