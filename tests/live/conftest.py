"""What live tests may ask for: real processes, read line by line."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.live.child import Child, running

HERE = Path(__file__).parent

StartChild = Callable[..., Awaitable[Child]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder, so that nobody forgets to."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)


@pytest.fixture
async def start_child() -> AsyncIterator[StartChild]:
    """Start a program as `child.running` does; it is ended, by its own pid, when the test is over."""
    async with AsyncExitStack() as stack:

        async def start(*args: object, **kwargs: object) -> Child:
            return await stack.enter_async_context(running(*args, **kwargs))  # type: ignore[arg-type] # kwargs are running's own

        yield start


@pytest.fixture
def ringbridge() -> str:
    """Give the path of the `ringbridge` command that belongs to the interpreter that runs the tests."""
    return str(Path(sys.executable).with_name("ringbridge"))
