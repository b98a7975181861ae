"""Logging for the process: structlog lines on standard error, without secrets, with numbers masked above debug."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from ringbridge.config import LogConfig, LogFormat, LogLevel

HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential|nonce|digest|crypto|sdp|cookie", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"\bns[srdu]_[A-Za-z0-9]{8,}|\b(?:Bearer|Digest)\s+\S.*|a=crypto:.*", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.+-])(?<![\d\]]:)(\+?\d{3,})(\d{2})(?!\w|[.:-]\d)")  # no address, port or time
_IDENTITIES = frozenset(
    {"request_id", "call_id", "sip_call_id", "leg", "node", "event", "level", "timestamp", "domain", "logger"}
)


def set_up(config: LogConfig, stream: TextIO | None = None) -> None:
    """Make every log line of the process, also those of libraries, look as `config` says.

    Args:
        config: level and format.
        stream: where lines go; None is standard error.
    """
    stream = stream or sys.stderr
    level = logging.getLevelNamesMapping()[config.level.value.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    closing: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        hide_secrets,
        *([] if config.level is LogLevel.DEBUG else [mask_numbers]),
        _renderer(config.format, stream),
    ]
    structlog.configure(
        processors=[*shared, *closing],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *closing],
        )
    )
    # Libraries tell their debug and info for their own developers; ours is what `config` asks for.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose key or look says that they are secret."""
    for key, value in event.items():
        event[key] = HIDDEN if _SECRET_KEY.search(key) else _each_text(value, _hide)
    return event


def mask_numbers(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave of telephone numbers only the last two digits; ids of ours stay whole."""
    for key, value in event.items():
        if key not in _IDENTITIES:
            event[key] = _each_text(value, _mask)
    return event


def _hide(text: str) -> str:
    return _SECRET_VALUE.sub(HIDDEN, text)


def _mask(text: str) -> str:
    return _NUMBER.sub(lambda found: "*" * len(found[1]) + found[2], text)


def _each_text(value: Any, change: Any) -> Any:
    match value:
        case str():
            return change(value)
        case Mapping():
            return {
                key: HIDDEN if _SECRET_KEY.search(str(key)) else _each_text(one, change) for key, one in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_each_text(one, change) for one in value]
        case _:
            return value


def _renderer(format_: LogFormat, stream: TextIO) -> structlog.typing.Processor:
    if format_ is LogFormat.AUTO:
        format_ = LogFormat.CONSOLE if stream.isatty() else LogFormat.JSON
    if format_ is LogFormat.JSON:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())
