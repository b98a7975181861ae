"""Where webhooks may not go."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.addresses import PeerRules, embedded_ipv4, refusal_of

INNER = (
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
)
WRITTEN_INTO_IPV6 = (
    lambda inner: f"::ffff:{inner}",
    lambda inner: f"::ffff:0:{inner}",
    lambda inner: f"::{inner}",
    lambda inner: f"64:ff9b::{inner}",
    lambda inner: str(IPv6Address(0x2002 << 112 | int(IPv4Address(inner)) << 80)),
    lambda inner: str(IPv6Address(0x20010000 << 96 | 0xFFFFFFFF ^ int(IPv4Address(inner)))),
)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::8a"])
def test_the_public_internet_may_be_sent_to(address: str) -> None:
    assert refusal_of(address) is None


@pytest.mark.parametrize(
    "address",
    [
        *INNER,
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "64:ff9b:1::1",
        "4000::1",
        "100::1",
        "192.0.0.192",
        "198.18.0.1",
        "not an address",
        "2130706433",
        "127.1",
        "",
    ],
)
def test_everything_else_may_not(address: str) -> None:
    assert refusal_of(address)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("write", WRITTEN_INTO_IPV6)
def test_an_inner_address_written_into_ipv6_is_refused(write: object, inner: str) -> None:
    assert callable(write)
    assert refusal_of(write(inner))


def test_an_operator_s_network_is_allowed_and_nothing_beside_it() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("::1/128"))
    assert refusal_of("10.1.2.3", allowed) is None
    assert refusal_of("::1", allowed) is not None  # it is 0.0.0.1 in IPv4-compatible form, which is not allowed
    assert refusal_of("10.2.0.1", allowed)
    assert refusal_of("127.0.0.1", allowed)


def test_allowing_nat64_does_not_allow_what_is_private_behind_it() -> None:
    allowed = (ip_network("64:ff9b::/96"),)
    assert refusal_of("64:ff9b::1.1.1.1", allowed) is None
    assert refusal_of("64:ff9b::10.0.0.1", allowed)
    assert refusal_of("64:ff9b::10.0.0.1", (*allowed, ip_network("10.0.0.0/8"))) is None


@given(st.ip_addresses(v=4))
def test_no_private_ipv4_address_passes(address: IPv4Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert refusal_of(str(address))


@given(st.ip_addresses(v=6))
def test_no_private_ipv6_address_passes(address: IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert refusal_of(str(address))


@given(st.ip_addresses(v=4), st.sampled_from(WRITTEN_INTO_IPV6))
def test_ipv6_forms_of_ipv4_never_pass_and_are_read_back(inner: IPv4Address, write: object) -> None:
    assert callable(write)
    outer = ip_address(write(str(inner)))
    assert isinstance(outer, IPv6Address)
    assert refusal_of(str(outer))
    assert embedded_ipv4(outer) == inner


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.20", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd00::1"])
def test_phones_are_in_private_networks_too(address: str) -> None:
    assert PeerRules().refusal_of(address) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local, where clouds have their metadata"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast or reserved"),
        ("10.1.2.3", "in sip.denied_networks"),
        ("::ffff:10.1.2.3", "in sip.denied_networks"),
        ("localhost", "no address"),
    ],
)
def test_sip_and_media_never_go_to_ourselves(address: str, reason: str) -> None:
    assert PeerRules(denied=(ip_network("10.1.0.0/16"),)).refusal_of(address) == reason


def test_loopback_may_be_sent_to_where_the_phones_are_there() -> None:
    rules = PeerRules(loopback=True)
    assert rules.refusal_of("127.0.0.1") is None
    assert rules.refusal_of("::1") is None
    assert rules.refusal_of("::") == "unspecified"
