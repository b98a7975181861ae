"""A relay for tests: in a short folder of its own, ended with the test, however that ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ringbridge.adapters.relay.child import RelayChild, RelaySettings, ensure_relay


@asynccontextmanager
async def relay_in(data_dir: Path, **changes: float) -> AsyncIterator[RelayChild]:
    """Give a relay of `data_dir`."""
    settings = RelaySettings(data_dir=data_dir, linger_s=changes.get("linger_s", 20.0))
    child = await ensure_relay(settings)
    try:
        yield child
    finally:
        await child.stop()
