"""Everything about who may come in, put together once for a node: keys, passwords, logins and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringbridge.calls.access.api_keys import ApiKeys, KeyUses
from ringbridge.calls.access.credentials import Credentials
from ringbridge.calls.access.logins import LoginParts, Logins, LoginSettings
from ringbridge.calls.access.oauth_clients import OAuthClients
from ringbridge.calls.access.passwords import Passwords
from ringbridge.calls.access.second_factors import SecondFactors
from ringbridge.calls.access.signing import Signer
from ringbridge.calls.access.throttle import LoginThrottle
from ringbridge.calls.access.tokens import Tokens
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What the API asks about tokens, users' passwords and keys."""

    credentials: Credentials
    second_factors: SecondFactors
    signer: Signer
    tokens: Tokens
    logins: Logins
    keys: ApiKeys
    uses: KeyUses
    passwords: Passwords
    throttle: LoginThrottle
    clients: OAuthClients


def make_accounts(
    *,
    store: Store,
    bus: LimitBus,
    clock: Clock,
    random_part: Callable[[], str],
    passwords: Passwords | None = None,
    settings: LoginSettings | None = None,
) -> Accounts:
    """Return the parts; `random_part` gives 48 unpredictable letters and digits each time."""
    passwords = passwords or Passwords()
    credentials = Credentials(store=store, bus=bus, passwords=passwords)
    signer = Signer(store=store, bus=bus, clock=clock, random_part=random_part)
    tokens = Tokens(store=store, bus=bus, clock=clock, signer=signer)
    throttle = LoginThrottle(clock=clock, bus=bus)
    uses = KeyUses(store=store, bus=bus, clock=clock)
    parts = LoginParts(
        store=store,
        bus=bus,
        clock=clock,
        random_part=random_part,
        passwords=passwords,
        credentials=credentials,
        signer=signer,
        tokens=tokens,
        throttle=throttle,
        settings=settings or LoginSettings(),
    )
    return Accounts(
        credentials=credentials,
        second_factors=SecondFactors(credentials=credentials, clock=clock, random_part=random_part),
        signer=signer,
        tokens=tokens,
        logins=Logins(parts),
        keys=ApiKeys(store=store, bus=bus, clock=clock, random_part=random_part, uses=uses),
        uses=uses,
        passwords=passwords,
        throttle=throttle,
        clients=OAuthClients(store=store, bus=bus, clock=clock, random_part=random_part),
    )
