"""Log lines are kept, for tests that look at them, and off the terminal."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from ringbridge.calls import outbox


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try writes again soon, while the bus is away."""
    monkeypatch.setattr(outbox, "RETRY_S", 0.005)
