"""What API tests ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.world import World, running_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as one:
        yield one


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of user 1001 of domain demo."""
    async with world.client() as one:
        yield one
