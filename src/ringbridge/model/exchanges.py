"""Requests and their answers as the request history keeps them, whose they are, and who may see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from ringbridge.model.access import ANY, Principal, Scope
from ringbridge.model.keys import prefix_for

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
BodyState: TypeAlias = Literal["none", "whole", "cut", "redacted", "hidden"]
"""`cut`: only its beginning is kept; `redacted`: secrets in it were replaced; `hidden`: it may hold some, and nobody
can say where."""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request and its answer as they passed, with nothing taken out yet: only ever in memory."""

    answered_at: float
    """Epoch seconds."""
    seconds: float
    operation: str
    method: str
    path: str
    query: bytes
    status: int
    by: Principal
    address: str
    request_id: str
    headers: Headers
    body: bytes
    """The beginning of it, as of `answer`."""
    body_size: int
    answer_headers: Headers
    answer: bytes
    answer_size: int
    tells_secrets: bool
    """Whether an answer of this operation may hold any."""


class KeptBody(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a body; `size` is that of the whole in bytes."""

    text: bytes
    size: int
    state: BodyState


NO_BODY = KeptBody(b"", 0, "none")


class KeptExchange(msgspec.Struct, frozen=True, array_like=True):
    """One row of the history. Secrets have been taken out, numbers have not."""

    id: int
    """Microseconds since the epoch when it was answered, moved on where another has the same."""
    seconds: float
    operation: str
    method: str
    path: str
    query: str
    """Still percent-encoded."""
    status: int
    key_id: str
    domain: str
    user: str
    reseller: str
    scope: str
    """Wire name of the scope that it was made with."""
    is_login: bool
    address: str
    request_id: str
    headers: Headers
    body: KeptBody
    answer_headers: Headers
    answer: KeptBody

    @property
    def asked_at(self) -> float:
        """Epoch seconds."""
        return self.id / 1e6 - self.seconds

    @property
    def key_prefix(self) -> str:
        """What its key begins with; empty of a login, which is no key."""
        return "" if self.is_login else prefix_for(domain=self.domain, user=self.user, reseller=self.reseller)

    @property
    def user_agent(self) -> str:
        """What the client calls itself."""
        return next((value.decode("latin-1") for name, value in self.headers if name == b"user-agent"), "")


class Whose(msgspec.Struct, frozen=True):
    """Which requests somebody may see: those that all of the fields agree with which are not None."""

    domains: Mapping[str, float] | None = None
    """Made by tokens of one of these domains, each since then in epoch seconds: before, another tenant had its name.
    With `reseller`, or by that reseller's own."""
    reseller: str | None = None
    user: str | None = None
    key_id: str | None = None
    most_rank: int | None = None
    """The widest scope that they were made with, as a rank, but for those of `own_key_id`: who reached further saw what
    is not to be told here, as a super user who logs in as a user of a domain does."""
    own_key_id: str = ""


ONE_USER: Final = Scope.OFFICE_MANAGER.rank - 1
"""The widest rank that reaches no further than one user."""


def whose(principal: Principal, domains: Mapping[str, float]) -> Whose:
    """Return what `principal` may see; `domains` are those that it rules over or is of, as in `Whose`."""
    if principal.is_super_user:
        return Whose()
    own, rank = principal.key_id, principal.scope.rank
    if principal.rules_reseller(ANY):
        most = Scope.RESELLER.rank
        return Whose(domains, reseller=principal.reseller, most_rank=most, own_key_id=own)
    if principal.rules_domain(principal.domain):
        return Whose(domains, most_rank=Scope.OFFICE_MANAGER.rank, own_key_id=own)
    if principal.user != ANY:
        return Whose(domains, user=principal.user, most_rank=max(ONE_USER, rank), own_key_id=own)
    return Whose(key_id=own)


class ExchangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are asked for, and by a token of what rank: paths of higher ones are matched as it sees them."""

    whose: Whose
    rank: int = Scope.SUPER_USER.rank
    method: str = ""
    path: str = ""
    """Text that the path holds."""
    least_status: int = 0
    most_status: int = 999
    key_id: str = ""
    operation: str = ""
    domain: str = ""
    """That of the token."""
    since: float = 0.0
    """Answered then or later, in epoch seconds."""
    until: float = math.inf
