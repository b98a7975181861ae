"""Hashing passwords off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ringbridge.calls.access.passwords import MOST_WAITING, Passwords, check_password
from ringbridge.model.errors import CallError


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(memory_kib=64, passes=1)
    yield made
    made.close()


async def test_a_password_matches_its_hash_alone(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse battery")
    assert hashed.startswith("$argon2id$")
    assert "correct" not in hashed
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("correct horse batterx", hashed)
    assert not await passwords.matches("nobody has this password", "")
    assert not await passwords.matches("anything at all", "no hash")


async def test_too_many_at_once_are_refused(passwords: Passwords) -> None:
    tasks = [asyncio.create_task(passwords.matches("guess", "")) for _ in range(MOST_WAITING + 5)]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [one for one in answers if isinstance(one, CallError)]
    assert len(refused) == 5
    assert {one.refusal.value for one in refused} == {503}
    assert not await passwords.matches("guess", ""), "and then it goes on"


@pytest.mark.parametrize("password", ["", "short", "x" * 129, "line\nbreak inside"])
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(CallError):
        check_password(password)
    assert check_password("long enough") == "long enough"
