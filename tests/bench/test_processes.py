"""What is read of a process from outside."""

from __future__ import annotations

import os

from ringbridge.bench.processes import peak_of, usage_of

HELD_BYTES = 64 * 2**20


def test_the_peak_of_a_process_stays_when_it_gives_memory_back() -> None:
    before = usage_of(os.getpid()).rss_bytes
    held = bytearray(HELD_BYTES)
    held[::4096] = b"x" * len(held[::4096])
    del held
    assert peak_of(os.getpid()) > before + HELD_BYTES * 3 // 4
