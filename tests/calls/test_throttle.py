"""Throttling of logins."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.calls.access.throttle import ACCOUNT, ADDRESS, MOST_KEPT, PAIR, LoginThrottle
from ringbridge.model.errors import BusUnavailable, CallError, Refusal


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


class Node:
    """One node's throttle."""

    def __init__(self, hub: MemoryHub | None = None, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.hub = hub or MemoryHub()
        self.throttle = LoginThrottle(clock=self.clock, bus=MemoryBus(self.hub))

    async def guess(self, account: str, address: str, *, code: str = "bad-login") -> int:
        """Guess wrongly; return the seconds to wait, 0 when the attempt passes."""
        try:
            async with self.throttle.attempt(account, address):
                raise CallError(Refusal.UNAUTHENTICATED, code, "wrong")
        except CallError as error:
            return 0 if error.code == code else error.retry_after_s or -1

    async def log_in(self, account: str, address: str) -> None:
        async with self.throttle.attempt(account, address):
            pass

    def beside(self) -> Node:
        """Return another node on the same bus, or this one when it was started again."""
        return Node(self.hub, self.clock)


async def test_a_guesser_waits_and_others_do_not() -> None:
    node = Node()
    for _ in range(PAIR.failures):
        assert await node.guess("ada", "192.0.2.1") == 0
    assert await node.guess("ada", "192.0.2.1") == 601
    assert await node.guess("ada", "192.0.2.2") == 0
    assert await node.guess("bob", "192.0.2.1") == 0
    node.clock.time += PAIR.window_s
    assert await node.guess("ada", "192.0.2.1") == 0


async def test_what_tells_nothing_of_the_secret_does_not_count() -> None:
    node = Node()
    for _ in range(100):
        await node.log_in("ada", "192.0.2.1")
        assert await node.guess("ada", "192.0.2.1", code="bus-unavailable") == 0
    assert node.hub.writes == {}


async def test_an_account_guessed_from_everywhere_and_an_address_that_guesses_all_are_stopped() -> None:
    node = Node()
    passed = [await node.guess("ada", f"192.0.2.{number}") == 0 for number in range(ACCOUNT.failures + 1)]
    assert passed == [True] * ACCOUNT.failures + [False]
    passed = [await node.guess(f"user{number}", "198.51.100.1") == 0 for number in range(ADDRESS.failures + 1)]
    assert passed == [True] * ADDRESS.failures + [False]


async def test_the_addresses_of_one_ipv6_client_are_one() -> None:
    node = Node()
    passed = [await node.guess("ada", f"2001:db8::{number:x}") == 0 for number in range(PAIR.failures + 1)]
    assert passed == [True] * PAIR.failures + [False]
    assert await node.guess("ada", "2001:db8:0:1::1") == 0


async def test_all_nodes_count_together_and_a_restart_forgets_nothing() -> None:
    nodes = [(first := Node()), first.beside()]
    for number in range(PAIR.failures):
        assert await nodes[number % 2].guess("ada", "192.0.2.1") == 0
    for node in (*nodes, first.beside()):
        assert await node.guess("ada", "192.0.2.1") == 601
        await node.log_in("ada", "192.0.2.2")
    first.clock.time += PAIR.window_s
    for node in (*nodes, first.beside()):
        await node.log_in("ada", "192.0.2.1")


async def test_the_wait_is_for_the_oldest_of_the_failures_that_count() -> None:
    first = Node()
    for number in range(PAIR.failures):
        first.clock.time += 1
        node = first if number % 2 else first.beside()
        assert await node.guess("ada", "192.0.2.1") == 0
    assert await first.beside().guess("ada", "192.0.2.1") == 601 - (PAIR.failures - 1)
    first.clock.time += 601 - PAIR.failures
    assert await first.beside().guess("ada", "192.0.2.1") == 0, "one of them is forgotten"
    assert await first.beside().guess("ada", "192.0.2.1") == 2


async def test_many_at_once_gain_nothing() -> None:
    node = Node()
    waits = await asyncio.gather(*(node.guess("ada", "192.0.2.1") for _ in range(30)))
    assert waits.count(0) == PAIR.failures
    assert await node.beside().guess("ada", "192.0.2.1") > 0


async def test_failures_on_several_nodes_at_once_are_all_counted() -> None:
    nodes = [(first := Node()), first.beside(), first.beside()]
    waits = await asyncio.gather(*(nodes[number % 3].guess("ada", "192.0.2.1") for number in range(PAIR.failures)))
    assert waits == [0] * PAIR.failures
    assert await first.beside().guess("ada", "192.0.2.1") > 0


async def test_while_the_bus_is_away_a_node_counts_alone() -> None:
    node = Node()
    node.hub.is_up = False
    for _ in range(PAIR.failures):
        assert await node.guess("ada", "192.0.2.1") == 0
    assert await node.guess("ada", "192.0.2.1") == 601
    await node.log_in("bob", "192.0.2.2")


async def test_a_login_that_the_bus_could_not_store_is_no_guess() -> None:
    node = Node()
    for _ in range(PAIR.failures + 1):
        with pytest.raises(BusUnavailable):
            async with node.throttle.attempt("ada", "192.0.2.1"):
                raise BusUnavailable
    await node.log_in("ada", "192.0.2.1")


async def test_no_name_is_kept_as_it_was_typed() -> None:
    node = Node()
    await node.guess("my-password-by-mistake", "192.0.2.1")
    kept = [entry for stream in node.hub.streams.values() for entry in stream.entries]
    assert len(kept) == 3
    assert all(b"mistake" not in entry.subject.encode() + entry.payload for entry in kept)


async def test_memory_is_bounded() -> None:
    node = Node()
    node.hub.is_up = False
    for number in range(MOST_KEPT):
        await node.guess(f"user{number}", f"2001:db8:{number:x}::1")
    assert node.throttle.kept <= MOST_KEPT


@pytest.mark.parametrize("limit", [PAIR, ACCOUNT, ADDRESS])
def test_limits_leave_room_for_people(limit: tuple[int, float]) -> None:
    assert limit[0] >= 5
