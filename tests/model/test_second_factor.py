"""Codes of the second factor (RFC 6238)."""

from __future__ import annotations

from base64 import b32encode

from ringbridge.model.accounts import Credential
from ringbridge.model.second_factor import backup_codes, code_at, taken_step, totp_secret, with_code_taken

RFC_SECRET = b32encode(b"12345678901234567890").decode()


def credential(**fields: object) -> Credential:
    return Credential(domain="demo", user="1001", totp_secret=RFC_SECRET, totp_confirmed=True, **fields)  # type: ignore[arg-type] # fields of this test


def test_codes_are_those_of_the_rfc() -> None:
    # RFC 6238 appendix B, SHA-1: the last six of its eight digits.
    assert [code_at(RFC_SECRET, at) for at in (59, 1111111109, 1234567890)] == ["287082", "081804", "005924"]


def test_a_code_is_taken_a_step_around_its_time() -> None:
    now = 1_111_111_109.0
    code = code_at(RFC_SECRET, now)
    assert [taken_step(credential(), code, now + off) is not None for off in (-60, -30, 0, 30, 60)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_code_is_not_taken_twice_nor_an_older_one_after_it() -> None:
    now = 1_111_111_109.0
    after = with_code_taken(credential(), code_at(RFC_SECRET, now), now)
    assert after is not None
    assert with_code_taken(after, code_at(RFC_SECRET, now), now) is None
    assert with_code_taken(after, code_at(RFC_SECRET, now - 30), now) is None
    assert with_code_taken(after, code_at(RFC_SECRET, now + 30), now) is not None


def test_without_a_secret_no_code_is_good() -> None:
    bare = Credential(domain="demo", user="1001", backup_sha256=())
    for code in ("", "000000", "755224"):
        assert not bare.asks_second_factor
        assert with_code_taken(credential(totp_step=10**9), code, 1_111_111_109.0) is None


def test_secrets_are_as_long_as_they_should_be() -> None:
    assert len(totp_secret("random")) == 32
    codes = backup_codes(("a", "b"))
    assert codes[0] != codes[1]
    assert all(len(code) == 10 and code.isalnum() and code == code.lower() for code in codes)
