"""The queue of one reader."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.calls.inbox import Inbox


async def test_items_come_in_the_order_in_which_they_were_put() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(3):
        inbox.put(number)
    assert [await inbox.get() for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits_for_what_is_put_later() -> None:
    inbox: Inbox[str] = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    assert not reading.done()
    inbox.put("first")
    inbox.put("second")
    assert await reading == "first"
    assert await inbox.get() == "second"


async def test_a_cancelled_reader_takes_nothing() -> None:
    inbox: Inbox[str] = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put("kept")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await inbox.get() == "kept"


async def test_what_is_there_can_be_taken_at_once() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    inbox.put(2)
    assert inbox.take_all() == [1, 2]
    assert inbox.take_all() == []
