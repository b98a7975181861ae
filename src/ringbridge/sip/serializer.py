"""Header safety: nothing that could end a line early leaves in a message.

Every start line, header name and value goes through `serialize`. Received messages hold no control character either
(`message.parse` sees to it), so that what is copied from one passes.
"""

import re
from collections.abc import Sequence
from typing import Final

from ringbridge.sip.errors import UnsafeHeader
from ringbridge.sip.names import KNOWN, TOKEN
from ringbridge.sip.params import CONTROL

Headers = Sequence[tuple[str, str]]

_CONTROLS_BUT_LF: Final = bytes([*range(10), *range(11, 32), 127])
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:[^\s<>\"\x00-\x20\x7f]++")
_CONTROLS_IN_SDP: Final = bytes([*range(9), 11, 12, *range(14, 32), 127])


def check_value(field: str, value: str) -> str:
    """Return `value` if it may stand in a header.

    Raises:
        UnsafeHeader: it holds a control character (CR, LF, NUL, tab …) or is not text.
    """
    if CONTROL.search(value):
        raise UnsafeHeader(field, "control character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnsafeHeader(field, "not Unicode text") from None
    return value


def check_name(name: str) -> str:
    """Return `name` if it may be a header's name.

    Raises:
        UnsafeHeader: it is not a token (RFC 3261 §25.1).
    """
    if name not in KNOWN and TOKEN.fullmatch(name) is None:
        raise UnsafeHeader("header name", "not a token")
    return name


def check_method(method: str) -> str:
    """Return `method` if it is a token.

    Raises:
        UnsafeHeader: it is not.
    """
    if TOKEN.fullmatch(method) is None:
        raise UnsafeHeader("method", "not a token")
    return method


def check_uri(uri: str) -> str:
    """Return `uri` if it has a scheme and no white space, control character, quote or angle bracket.

    Raises:
        UnsafeHeader: it is not so.
    """
    if _URI.fullmatch(uri) is None:
        raise UnsafeHeader("URI", "not a URI")
    return check_value("URI", uri)


def check_sdp(body: bytes) -> bytes:
    """Return `body` if each of its lines ends in CR LF and holds no other control character.

    Raises:
        UnsafeHeader: it is not so.
    """
    ends = body.count(b"\r\n")
    if len(body.translate(None, _CONTROLS_IN_SDP)) != len(body) or not body.count(13) == body.count(10) == ends:
        raise UnsafeHeader("SDP line", "control character")
    return body


def serialize(start_line: str, headers: Headers, body: bytes) -> bytes:
    """Return the bytes of a message; Content-Length is always ours and always there (RFC 3261 §18.3).

    Raises:
        UnsafeHeader: a control character anywhere in the head, or an SDP body with a bare CR or LF.
    """
    lines = [start_line]
    for name, value in headers:
        if name not in KNOWN:
            check_name(name)
        elif name == "Content-Length":
            continue
        lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {len(body)}")
    # Joined by LF, the head may hold that many LF and no other control character: two passes in C over all of it.
    try:
        head = "\n".join(lines).encode()
    except UnicodeEncodeError:
        raise _fault(start_line, headers) from None
    if len(head.translate(None, _CONTROLS_BUT_LF)) != len(head) or head.count(10) != len(lines) - 1:
        raise _fault(start_line, headers)
    if body and any(name == "Content-Type" and value.lower().startswith("application/sdp") for name, value in headers):
        check_sdp(body)
    return head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body


def _fault(start_line: str, headers: Headers) -> UnsafeHeader:
    try:
        check_value("start line", start_line)
        for name, value in headers:
            check_value(name, value)
    except UnsafeHeader as fault:
        return fault
    return UnsafeHeader("header", "control character")
