"""Log lines are kept, for tests that look at them, and off the terminal."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines
