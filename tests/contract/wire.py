"""What the tests of the contract share: a server's address, a tenant on it, and how an answer is read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

BASE = "/ns-api/v2"
PASSWORD = "Long-enough-for-a-phone-7"
PHONES = {"1000": 200, "1001": 200, "1002": 0}
"""The users of a tenant, and what the phone of each says when it is called; 0: it rings."""

Json = Any
"""What a body holds: the edge where every shape is possible."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom the tests ask."""

    url: str
    https: str
    """The same by HTTPS; empty where none is known."""
    key: str
    """A super user's."""
    sip: str
    """Where phones register."""
    receiver: str
    """An address of this machine that events may be sent to; empty where none is known."""

    def client(self, token: str | None, *, base: str = BASE) -> httpx.Client:
        """Return a client that sends `token`, or none."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Not verified: the certificate of a laptop is its own.
        return httpx.Client(base_url=self.url + base, headers=headers, timeout=20.0, trust_env=False, verify=False)  # noqa: S501 - as said


@dataclass(frozen=True, slots=True)
class Tenant:
    """A domain that the tests made."""

    api: httpx.Client
    domain: str

    @property
    def path(self) -> str:
        return f"/domains/{self.domain}"

    def calls(self, user: str = "1000") -> str:
        """Return the path of a user's calls."""
        return f"{self.path}/users/{user}/calls"

    def call(self, call_id: str, user: str = "1000") -> str:
        """Return the path of one call."""
        return f"{self.calls(user)}/{quote(call_id, safe='')}"

    def build(self) -> None:
        """Make the domain, its users, and a device for each."""
        answered(self.api.post("/domains", json=domain_body(self.domain)), 202)
        for user in PHONES:
            answered(self.api.post(f"{self.path}/users", json=user_body(user)), 202)
            device = {"device": user, "device-sip-registration-password": PASSWORD}
            answered(self.api.post(f"{self.path}/users/{user}/devices", json=device), 202)

    def place(self, *, call_id: str | None = None, term: str = "1001", user: str = "1000", **more: object) -> str:
        """Make a call that has to be accepted; return its id."""
        body = call_body(call_id, term) | {name.replace("_", "-"): value for name, value in more.items()}
        answered(self.api.post(self.calls(user), json=body), 200, 202)
        return str(body["call-id"])

    def read(self, call_id: str, user: str = "1000") -> dict[str, Json]:
        """Return a call's resource."""
        return dict(answered(self.api.get(self.call(call_id, user)), 200))

    def in_state(self, call_id: str, *states: str, user: str = "1000") -> dict[str, Json]:
        """Return a call once it is in one of `states`."""
        found: dict[str, Json] = {}

        def is_there() -> bool:
            found.update(self.read(call_id, user))
            return found["call-state"] in states

        until(is_there, what=f"{call_id} is {states}")
        return found

    def order(self, call_id: str, verb: str, user: str = "1000", body: Json = None) -> None:
        """Give an order to a call that has to be taken, once an earlier one is carried out: a state may show before."""

        def is_taken() -> bool:
            path = self.call(call_id, user) + (f"/{verb}" if verb else "")
            return bool(answered(self.api.patch(path, json=body), 202, 409)["code"] == 202)

        until(is_taken, what=f"{verb or body} of {call_id}")

    def drop(self, call_id: str, user: str = "1000") -> None:
        """End a call that nothing more is asked of."""
        answered(self.api.delete(self.call(call_id, user)), 202)

    def end(self, call_id: str, user: str = "1000") -> dict[str, Json]:
        """End a call and return it when it has ended."""
        answered(self.api.delete(self.call(call_id, user)), 202)
        return self.in_state(call_id, "ended", user=user)


def domain_body(domain: str) -> dict[str, Json]:
    """Return what makes a domain."""
    return {"domain": domain, "reseller": "contract", "description": "A tenant of the contract's tests"}


def user_body(user: str, **more: Json) -> dict[str, Json]:
    """Return what makes a user."""
    body: dict[str, Json] = {
        "user": user,
        "name-first-name": f"First{user}",
        "name-last-name": f"Last{user}",
        "email-address": f"{user}@contract.example",
        "user-scope": "Basic User",
        "caller-id-number": "12025550101",
    }
    return body | more


def call_body(call_id: str | None = None, term: str = "1001", **more: Json) -> dict[str, Json]:
    """Return what makes a call; its id is a new one where none is given."""
    return {"call-id": call_id or new_id(), "call-term-user": term, **more}


def new_id() -> str:
    """Return a name that nobody has used."""
    return f"c-{secrets.token_hex(12)}"


def answered(response: httpx.Response, *statuses: int) -> Json:
    """Return the body of an answer with one of these statuses."""
    request = response.request
    assert response.status_code in statuses, f"{request.method} {request.url}: {response.status_code} {response.text}"
    return response.json()


def faulted(response: httpx.Response, status: int) -> dict[str, dict[str, Json]]:
    """Return the faults of a refusal by the field that they name."""
    body = answered(response, status)
    return {fault.get("field", ""): fault for fault in body["errors"]}


def until(holds: Callable[[], object], *, within_s: float = 15.0, what: str = "") -> None:
    """Return once `holds` is true.

    Raises:
        AssertionError: it is not, `within_s` seconds later.
    """
    end = time.monotonic() + within_s
    pause_s = 0.005
    while not holds():
        assert time.monotonic() < end, f"not within {within_s} s: {what or holds}"
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, 0.1)
