"""Two nodes on one real bus, each of which soon notices that the other is dead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.webhooks import webhooks


@pytest.fixture
async def buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[NatsBus, NatsBus]]:
    """Give the nodes' connections to the server."""
    monkeypatch.setattr(webhooks, "TICK_S", 0.1)
    monkeypatch.setattr(webhooks, "DEAD_AFTER_S", 1.0)
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    try:
        async with AsyncExitStack() as stack:
            one, two = [await stack.enter_async_context(NatsBus(BusSettings((url,), name))) for name in ("a", "b")]
            yield one, two
    finally:
        await server.stop()
