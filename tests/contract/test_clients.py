"""Contract section 8: real clients, and what they rely on, replayed from `conversations`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.accounts import made_key
from tests.contract.carrier import free_port
from tests.contract.conftest import ended
from tests.contract.replay import FOLDER, Replay
from tests.contract.wire import PASSWORD, Server, Tenant, answered, new_id, until

ANSWER = Path(__file__).parents[1] / "live" / "scenarios" / "answer.xml"
REGISTER = Path(__file__).with_name("register.xml")
NUMBER = "12025550155"


@pytest.fixture(scope="session")
def number(real_phones: Tenant) -> str:
    """Return a number that rings 1001, once user 1000 can log in too."""
    body = {
        "phonenumber": NUMBER,
        "dial-rule-application": "to-user",
        "dial-rule-translation-destination-user": "1001",
        "dial-rule-translation-destination-host": real_phones.domain,
    }
    answered(real_phones.api.post(f"{real_phones.path}/phonenumbers", json=body), 202)
    path = f"{real_phones.path}/users/1000/password"
    answered(real_phones.api.put(path, json={"user-login-password": PASSWORD}), 202)
    return NUMBER


@pytest.fixture
def replay(server: Server, real_phones: Tenant, number: str) -> Iterator[Replay]:
    """Return what plays a conversation for user 1000 of the tenant."""
    known = {
        "key": server.key,
        "manager": str(made_key(real_phones.api, domain=real_phones.domain)["key"]),
        "client": "ringbridge",
        "secret": "",
        "domain": real_phones.domain,
        "user": "1000",
        "password": PASSWORD,
        "call-id": new_id(),
        "name": new_id()[-10:],
        "number": "12025550156",
        "new-domain": f"{new_id()}.example",
    }
    with httpx.Client(base_url=server.url, timeout=20.0, trust_env=False) as client:
        yield Replay(client, known)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "load_generator"))
def test_the_conversation_of(replay: Replay, name: str) -> None:
    replay.play(name)


def test_the_conversation_of_a_load_generator(replay: Replay, server: Server, tmp_path: Path) -> None:
    """“creates domains, users, devices, numbers by API, then registers and calls with SIPp”: Debian's knows MD5 alone,
    and reads the first challenge only, so a server challenges with that where one is to register."""
    with ExitStack() as stack:

        def sipp(known: dict[str, str]) -> None:
            for device in ("2000", "2001"):
                stack.enter_context(ended(answering(server, known, device, tmp_path)))

        replay.programs = {"sipp": sipp}
        replay.play("load_generator")


def answering(server: Server, known: dict[str, str], device: str, folder: Path) -> subprocess.Popen[bytes]:
    """Register a device with SIPp and return the SIPp that answers at its contact."""
    port = free_port()
    line = ["sipp", server.sip, "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    proof = ["-s", device, "-au", device, "-ap", known["password"], "-key", "domain", known["new-domain"]]
    register = [*line, "-sf", str(REGISTER), *proof, "-m", "1", "-timeout", "20", "-timeout_error"]
    subprocess.run(register, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    answer = [*line, "-sf", str(ANSWER)]
    process = subprocess.Popen(answer, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: port_is_taken(port), what=f"SIPp answers for {device}")
    return process


def port_is_taken(port: int) -> bool:
    """Tell whether a UDP socket of 127.0.0.1 is open on this port."""
    return any(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/udp").read_text().splitlines()[1:])
