"""Users and devices of all domains that a key sees; the API lists those of one domain, and of one user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from ringbridge.cli.asking import CannotDo
from ringbridge.cli.client import ApiClient, ApiError
from ringbridge.cli.lists import API, SELF, Listed, domain_path, read_item, read_list, user_path
from ringbridge.cli.remedies import remedy_of
from ringbridge.cli.tables import Column, Item, field, moment, state, text_of

AT_ONCE: Final = 8
"""How many users' devices are asked for at a time; each costs a request."""
MOST_DOMAINS: Final = 100_000
MOST_DEVICES: Final = 1_000_000


def user_named(name: str, domain: str | None) -> str:
    """Return the path of a user that is named as `1001`, `1001@demo` or `~`.

    Raises:
        CannotDo: the name has another domain than `domain`.
    """
    user, _, its_domain = name.partition("@")
    if its_domain and domain and its_domain != domain:
        raise CannotDo(f"--domain: is {domain!r}, and {name} names another; allowed: one of them")
    return user_path(its_domain or domain or SELF, user)


def named_fields(settings: Sequence[str]) -> dict[str, str]:
    """Return `field=value` pairs.

    Raises:
        CannotDo: some are none; all of them are named.
    """
    pairs = [one.partition("=") for one in settings]
    faults = [one for one, (name, equals, _) in zip(settings, pairs, strict=True) if not name.strip() or not equals]
    if faults:
        raise CannotDo(
            "\n".join(f"--set: found {one!r}; allowed: FIELD=VALUE, as time-zone=Europe/Berlin" for one in faults)
        )
    return {name.strip(): value for name, _, value in pairs}


async def users_of(api: ApiClient, domain: str | None, *, limit: int, query: Mapping[str, str] | None = None) -> Listed:
    """Return users: of `domain`, or of the key's own, or of all that it sees; of a user's key that user."""
    try:
        return await read_list(api, f"{domain_path(domain or SELF)}/users", limit=limit, query=query)
    except ApiError as error:
        if domain is None and "token-has-no-domain" in error.codes:
            return await _of_all_domains(api, limit=limit, query=query)
        if "not-allowed" not in error.codes:
            raise
        return Listed([await read_item(api, user_path(domain or SELF, SELF))], 1, has_more=False)


async def _of_all_domains(api: ApiClient, *, limit: int, query: Mapping[str, str] | None) -> Listed:
    found: list[Item] = []
    domains = await read_list(api, f"{API}/domains", limit=MOST_DOMAINS)
    for place, one in enumerate(domains.items):
        path = f"{domain_path(text_of(one, 'domain'))}/users"
        listed = await read_list(api, path, limit=limit - len(found), query=query)
        found += listed.items
        if len(found) >= limit:
            return Listed(found, None, has_more=listed.has_more or place + 1 < len(domains.items))
    return Listed(found, len(found), has_more=False)


async def devices_of(
    api: ApiClient, *, domain: str | None, user: str | None, limit: int, registered: bool | None
) -> Listed:
    """Return devices: of `user`, or of all users that the key sees; all, or those that are `registered` or not."""
    if user is not None:
        paths = [user_named(user, domain)]
        has_more = False
    else:
        users = await users_of(api, domain, limit=MOST_DOMAINS)
        paths = [user_path(text_of(one, "domain"), text_of(one, "user")) for one in users.items]
        has_more = users.has_more
    found: list[Item] = []
    for first in range(0, len(paths), AT_ONCE):
        some = paths[first : first + AT_ONCE]
        lists = await asyncio.gather(*(read_list(api, f"{path}/devices", limit=MOST_DOMAINS) for path in some))
        found += [one for listed in lists for one in listed.items if registered in (None, is_registered(one))]
        if len(found) >= limit:
            return Listed(found[:limit], None, has_more=len(found) > limit or first + AT_ONCE < len(paths))
    return Listed(found, len(found), has_more=has_more)


async def device_path(api: ApiClient, name: str, *, domain: str | None, user: str | None) -> str:
    """Return the path of a device that is named as `1001_desk` or `1001_desk@demo`; whose it is, is looked for.

    Raises:
        CannotDo: there is none, or several domains have one.
        ApiError: what it may be among may not be read.
    """
    device, _, its_domain = name.partition("@")
    if its_domain and domain and its_domain != domain:
        raise CannotDo(f"--domain: is {domain!r}, and {name} names another; allowed: one of them")
    wanted = its_domain or domain
    if user is not None:
        return f"{user_named(user, wanted)}/devices/{quote(device, safe='')}"
    listed = await devices_of(api, domain=wanted, user=None, limit=MOST_DEVICES, registered=None)
    owners = [
        (text_of(one, "domain"), text_of(one, "user")) for one in listed.items if text_of(one, "device") == device
    ]
    if not owners:
        raise CannotDo(
            f"DEVICE: no device {device} that this key sees\n  {remedy_of(404, frozenset({'no-such-device'}))}"
        )
    if len(owners) > 1:
        names = ", ".join(f"{device}@{one}" for one, _ in owners)
        raise CannotDo(f"DEVICE: {device} is the name of several; allowed: {names}")
    return f"{user_path(*owners[0])}/devices/{quote(device, safe='')}"


def is_registered(device: Item) -> bool:
    """Return whether a phone is registered as this device now."""
    return text_of(device, "device-sip-registration-state") == "registered"


USER_COLUMNS: Final = (
    field("USER", "user"),
    field("DOMAIN", "domain"),
    Column(
        "NAME", lambda user: " ".join(filter(None, (text_of(user, f"name-{one}-name") for one in ("first", "last"))))
    ),
    field("EMAIL", "email-address"),
    field("SCOPE", "user-scope"),
    field("CALLER ID", "caller-id-number"),
    field("ACCOUNT", "account-status"),
    field("CALLS", "active-calls-total-current", is_right=True),
)
DEVICE_COLUMNS: Final = (
    field("DEVICE", "device"),
    field("USER", "user"),
    field("DOMAIN", "domain"),
    state("STATE", "device-sip-registration-state"),
    field("FROM", "device-sip-registration-ip-address"),
    moment("UNTIL", "device-sip-registration-expires-datetime"),
    field("PHONE", "device-sip-registration-user-agent"),
)
