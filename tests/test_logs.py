import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ringbridge import logs
from ringbridge.config import LogConfig, LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def lines(level: LogLevel = LogLevel.INFO) -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    logs.set_up(LogConfig(level=level, format=LogFormat.JSON), stream)
    return structlog.get_logger(), stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    value: dict[str, Any] = json.loads(line)
    return value


def test_line_holds_event_level_and_time() -> None:
    log, stream = lines()
    log.bind(call_id="c-1").info("leg_answered", leg="origination")
    line = only_line(stream)
    assert (line["event"], line["level"], line["call_id"], line["leg"]) == (
        "leg_answered",
        "info",
        "c-1",
        "origination",
    )
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_not_written() -> None:
    log, stream = lines(LogLevel.WARNING)
    log.info("leg_answered")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hunter22"},
        {"api_key": "hunter22"},
        {"Authorization": 'Digest response="hunter22"'},
        {"text": 'Authorization: Digest username="a", response="hunter22"'},
        {"text": "Bearer hunter22"},
        {"text": "key nsu_hunter22abcdefgh was used"},
        {"headers": {"proxy-authorization": "hunter22"}},
        {"parts": ["v=0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter22"]},
        {"sdp": "hunter22"},
    ],
)
@pytest.mark.parametrize("level", [LogLevel.DEBUG, LogLevel.INFO])
def test_secrets_are_never_written(level: LogLevel, fields: dict[str, object]) -> None:
    log, stream = lines(level)
    log.info("it_happened", **fields)
    assert "hunter22" not in stream.getvalue()
    assert logs.HIDDEN in stream.getvalue()


def test_secret_in_a_traceback_is_not_written() -> None:
    log, stream = lines()
    try:
        raise ValueError("Bearer hunter22")
    except ValueError:
        log.exception("it_failed")
    assert "ValueError" in stream.getvalue()
    assert "hunter22" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+493012345678", "***********78"),
        ("sip:+493012345678@example.org", "sip:***********78@example.org"),
        ("tel:493012345678", "tel:**********78"),
        ("called 5551234567 twice", "called ********67 twice"),
        ("1001@demo", "1001@demo"),
        ("127.0.0.1:50601", "127.0.0.1:50601"),
        ("10.123.45.6", "10.123.45.6"),
        ("2026-11-23T23:15:00.123456Z", "2026-11-23T23:15:00.123456Z"),
    ],
)
def test_numbers_are_masked_but_for_their_end(text: str, shown: str) -> None:
    log, stream = lines()
    log.info("it_happened", to=text)
    assert only_line(stream)["to"] == shown


def test_numbers_are_whole_at_debug_and_ids_always() -> None:
    log, stream = lines(LogLevel.DEBUG)
    log.info("it_happened", to="+493012345678")
    assert only_line(stream)["to"] == "+493012345678"
    log, stream = lines()
    log.info("it_happened", call_id="20261123231500", port=5060)
    assert (only_line(stream)["call_id"], only_line(stream)["port"]) == ("20261123231500", 5060)


def test_lines_of_libraries_look_alike_and_come_from_warning_up() -> None:
    _, stream = lines(LogLevel.DEBUG)
    logging.getLogger("nats").info("chatter")
    logging.getLogger("nats").warning("slow consumer %s", "Bearer hunter22")
    line = only_line(stream)
    assert (line["level"], line["logger"]) == ("warning", "nats")
    assert line["event"].startswith("slow consumer")
    assert "hunter22" not in line["event"]


def test_console_has_no_colours_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(format=LogFormat.CONSOLE), stream)
    structlog.get_logger().info("it_happened", leg="origination")
    assert "leg=origination" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
