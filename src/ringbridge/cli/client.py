"""The API as a client sees it: what the commands send, and what they read of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

if TYPE_CHECKING:
    from ringbridge.config import Config

T = TypeVar("T")

ADMIN_KEY_FILE = "admin.key"
"""In the data folder of a node: where its first super-user key is."""
DEADLINE_S = 15.0
"""More than the 8 s that the bus may take to find a new leader."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request, as the API says it."""

    message: str
    field: str | None = None
    code: str = ""
    found: str | None = None
    allowed: str | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str = ""
    errors: tuple[Fault, ...] = ()
    keys: tuple[NewKey, ...] = ()


class ApiError(Exception):
    """The API refused, or could not be reached (`status` 0)."""

    def __init__(
        self, status: int, message: str, faults: tuple[Fault, ...] = (), *, keys: tuple[NewKey, ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.faults = faults
        self.keys = keys
        """API keys that were made all the same, and are told this once."""

    @property
    def codes(self) -> frozenset[str]:
        """What is wrong, by the API's own names."""
        return frozenset(fault.code for fault in self.faults)


class CallOrder(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """The body of a POST that makes a call (contract §3)."""

    call_id: str
    call_term_user: str
    call_orig_user: str = ""
    caller_id_number: str = ""
    callback_caller_id_number: str = ""
    auto_answer_enabled: str = ""
    synchronous: str = ""


class Rung(msgspec.Struct, frozen=True, rename="kebab"):
    """One step of a call; `ms` since the request was accepted."""

    at: str
    ms: float
    step: str
    leg: str = ""
    leg_id: str = ""
    detail: str = ""


class Cause(msgspec.Struct, frozen=True, rename="kebab"):
    """Why a call or a leg ended."""

    result: str
    reason: str
    sip_status: int | None = None

    def __str__(self) -> str:
        status = f"{self.sip_status} " if self.sip_status else ""
        return f"{self.result} ({status}{self.reason})"


class Ladder(msgspec.Struct, frozen=True, rename="kebab"):
    """A call step by step."""

    call_id: str
    call_state: str
    steps: tuple[Rung, ...]
    release_cause: Cause | None = None


class LegOfCall(msgspec.Struct, frozen=True, rename="kebab"):
    """One leg of the resource."""

    leg: str
    leg_id: str
    target: str
    sip_call_id: str


class CallResource(msgspec.Struct, frozen=True, rename="kebab"):
    """What the commands read of a call."""

    call_id: str
    call_state: str
    call_by_user: str = ""
    call_legs: tuple[LegOfCall, ...] = ()


class TargetOfLeg(msgspec.Struct, frozen=True, rename="kebab"):
    """One thing that would ring."""

    target: str
    sent_to: str
    connection: str = ""


class TriedRule(msgspec.Struct, frozen=True, rename="kebab"):
    """One dial rule that was tried."""

    dialrule: str
    dial_rule_dial_plan: str
    matched: str
    reason: str


class LegOfExplanation(msgspec.Struct, frozen=True, rename="kebab"):
    """One leg as it would be."""

    leg: str
    rings: tuple[TargetOfLeg, ...]
    caller_id_number: str
    caller_id_name: str = ""
    headers: tuple[str, ...] = ()
    auto_answer: str = "no"
    tried: tuple[TriedRule, ...] = ()


class Explanation(msgspec.Struct, frozen=True, rename="kebab"):
    """What a request for a call would do."""

    would_ring: str
    origination: LegOfExplanation
    termination: LegOfExplanation
    reasons: tuple[Fault, ...] = ()


class CdrResource(msgspec.Struct, frozen=True, rename="kebab"):
    """What the commands read of a CDR."""

    call_id: str
    call_disconnect_reason_text: str
    call_talking_duration_seconds: int
    call_total_duration_seconds: int
    release_cause: Cause


class Change(msgspec.Struct, frozen=True):
    """One thing that `apply` did or would do."""

    action: str
    kind: str
    key: str
    fields: tuple[str, ...] = ()


class NewKey(msgspec.Struct, frozen=True, rename="kebab"):
    """An API key that was just made."""

    key_id: str
    key: str
    description: str
    domain: str
    user: str


class Applied(msgspec.Struct, frozen=True, rename="kebab"):
    """The answer to a directory document."""

    dry_run: bool
    changes: tuple[Change, ...]
    keys: tuple[NewKey, ...] = ()


class ApiClient:
    """Speaks to one API with one key. Every method raises `ApiError`."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Without TLS there is nothing to verify, and reading the machine's certificates takes longer than the request.
        verify = not self.url.startswith("http:")
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=DEADLINE_S, trust_env=False, verify=verify
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def make_call(self, domain: str, user: str, order: CallOrder) -> int:
        """Make a call; return the status: 202, or 200 where it waited until the call can be read."""
        response = await self.send("POST", calls_path(domain, user), content=msgspec.json.encode(order))
        return response.status_code

    async def explain_call(self, domain: str, user: str, order: CallOrder) -> Explanation:
        """Say what a call would do, and what is against it."""
        path = calls_path(domain, user) + "?dry-run=yes"
        return _decoded(await self.send("POST", path, content=msgspec.json.encode(order)), Explanation)

    async def call(self, domain: str, user: str, name: str) -> CallResource:
        """Read a call by any of its ids."""
        return await self._read(f"{calls_path(domain, user)}/{quote(name, safe='')}", CallResource)

    async def active_calls(self, domain: str) -> list[CallResource]:
        """Read a domain's active calls."""
        return await self._read(f"/ns-api/v2/domains/{domain}/calls", list[CallResource])

    async def ladder(self, domain: str, user: str, name: str) -> Ladder:
        """Read a call step by step."""
        return await self._read(f"{calls_path(domain, user)}/{quote(name, safe='')}/ladder", Ladder)

    async def cdr(self, domain: str, user: str, name: str) -> CdrResource:
        """Read the CDR of a call that is over."""
        return await self._read(f"{calls_path(domain, user)}/{quote(name, safe='')}/cdr", CdrResource)

    async def end_call(self, domain: str, user: str, name: str) -> None:
        """End a call, in any state."""
        await self.send("DELETE", f"{calls_path(domain, user)}/{quote(name, safe='')}")

    async def apply(self, document: object, *, dry_run: bool = False) -> Applied:
        """Make the directory match `document`, or only say what that would change."""
        path = "/ringbridge/v1/directory" + ("?dry-run=yes" if dry_run else "")
        response = await self.send("PUT", path, content=msgspec.json.encode(document))
        return _decoded(response, Applied)

    async def set_password(self, domain: str, user: str, password: str) -> None:
        """Give a user the password to log in with."""
        path = calls_path(domain, user).removesuffix("/calls")
        await self.send("PUT", path, content=msgspec.json.encode({"user-login-password": password}))

    async def export(self) -> dict[str, list[dict[str, object]]]:
        """Return the document of all that the key rules over, without secrets."""
        return await self._read("/ringbridge/v1/directory", dict[str, list[dict[str, object]]])

    async def _read(self, path: str, kind: type[T]) -> T:
        return _decoded(await self.send("GET", path), kind)

    async def send(
        self, method: str, path: str, *, content: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send one request; `content` is JSON. A path that has a query of its own takes no other."""
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            response = await self._http.request(method, path, content=content, headers=headers, params=query or None)
        except httpx.HTTPError as error:
            raise self._unanswered(error) from error
        if response.is_success:
            return response
        raise _refusal(response)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], silence_s: float = DEADLINE_S
    ) -> AsyncIterator[httpx.Response]:
        """Have an answer as it comes; it ends with `ApiError` when nothing has come for `silence_s`."""
        timeout = httpx.Timeout(DEADLINE_S, read=silence_s)
        try:
            async with self._http.stream("GET", path, params=query, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refusal(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: httpx.HTTPError) -> ApiError:
        return ApiError(0, f"no answer from {self.url}: {str(error) or type(error).__name__}")


def _refusal(response: httpx.Response) -> ApiError:
    try:
        body = msgspec.json.decode(response.content, type=_ErrorBody)
    except msgspec.DecodeError:
        body = _ErrorBody()
    return ApiError(response.status_code, body.message or f"HTTP {response.status_code}", body.errors, keys=body.keys)


def _decoded(response: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise ApiError(response.status_code, f"the answer is not what it should be: {error}") from error


def calls_path(domain: str, user: str) -> str:
    """Return the path of a user's calls; `~` stays `~`."""
    return f"/ns-api/v2/domains/{quote(domain, safe='~')}/users/{quote(user, safe='~')}/calls"


def key_of(config: Config) -> str | None:
    """Return the API key to use: the configuration's, else the admin key of a node on this machine; None without."""
    if config.client.api_key is not None:
        return config.client.api_key
    return read_key(config.node.data_dir / ADMIN_KEY_FILE)


def read_key(file: Path) -> str | None:
    """Return the key in a file; None when it cannot be read."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
