"""Parameters, quoted strings and comma lists: the small grammar that all structured headers share (RFC 3261 §25.1).

Every pattern is possessive, so that no input costs more than linear time.
"""

import re
from collections.abc import Mapping
from typing import Final

from ringbridge.sip.errors import ProtocolError, UnsafeHeader

Params = Mapping[str, str | None]
"""Parameters by lower-case name; the value of a quoted string is held unquoted; None: no value."""

SHORT: Final = 200
"""The longest text, in characters, whose reading is remembered."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_USUAL: Final = frozenset(
    ("tag", "branch", "rport", "received", "lr", "q", "expires", "transport", "+sip.instance", "reg-id", "ob", "maddr")
)
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~\[\]:]+")
_NOT_IN_VALUE: Final = re.compile(r"[\s\"<>,]")
_NAME: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_ITEM: Final = {
    ",": re.compile(r'[^,"<]++|"(?:[^"\\]++|\\.)*+"|<[^>]*+>|(,)', re.DOTALL),
    ";": re.compile(r'[^;"<]++|"(?:[^"\\]++|\\.)*+"|<[^>]*+>|(;)', re.DOTALL),
}
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


def quote(text: str) -> str:
    """Return `text` as a quoted string, quotes and backslashes escaped.

    Raises:
        UnsafeHeader: it holds a control character.
    """
    if CONTROL.search(text):
        raise UnsafeHeader("quoted string", "control character")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """Return what a quoted string says; `text` as it is when it is not quoted."""
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        inner = text[1:-1]
        return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner
    return text


def split(text: str, separator: str) -> list[str]:
    """Split at commas or semicolons outside quotes and angle brackets; items are stripped.

    Raises:
        ProtocolError: a quote or bracket is never closed.
    """
    if '"' not in text and "<" not in text:
        return [item.strip() for item in text.split(separator)]
    cuts = []
    position = 0
    match = _ITEM[separator].match
    while position < len(text):
        found = match(text, position)
        if found is None:
            raise ProtocolError(400, "Unbalanced quotes or brackets")
        if found[1]:
            cuts.append(position)
        position = found.end()
    items = []
    begin = 0
    for cut in [*cuts, len(text)]:
        items.append(text[begin:cut].strip())
        begin = cut + 1
    return items


def parse_params(text: str) -> dict[str, str | None]:
    """Read `name=value;name;…` (without a leading semicolon).

    Raises:
        ProtocolError: an empty or malformed parameter, or one that is there twice (RFC 3261 §7.3.1).
    """
    params: dict[str, str | None] = {}
    items = text.split(";") if '"' not in text else split(text, ";")
    for item in items:
        name, equals, value = item.partition("=")
        name = name.strip().lower()
        if (name not in _USUAL and not _NAME.fullmatch(name)) or name in params:
            raise ProtocolError(400, "Bad header parameter")
        if not equals:
            params[name] = None
            continue
        value = value.strip()
        if value[:1] == '"':
            if len(value) < 2 or value[-1] != '"':
                raise ProtocolError(400, "Bad header parameter")
            value = unquote(value)
        elif not value or _NOT_IN_VALUE.search(value):
            raise ProtocolError(400, "Bad header parameter")
        params[name] = value
    return params


def format_params(params: Params) -> str:
    """Return `;name=value;name…`, values quoted where they must be.

    Raises:
        UnsafeHeader: a name is not a token, or a value holds a control character.
    """
    if not params:
        return ""
    parts = []
    for name, value in params.items():
        if name not in _USUAL and not _NAME.fullmatch(name):
            raise UnsafeHeader("parameter name", "not a token")
        if value is None:
            parts.append(f";{name}")
        elif _PLAIN_VALUE.fullmatch(value):
            parts.append(f";{name}={value}")
        else:
            parts.append(f";{name}={quote(value)}")
    return "".join(parts)
