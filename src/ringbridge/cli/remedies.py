"""What to do about a refusal of the API, in one line; by its status, and by the codes of its faults where one knows."""

from __future__ import annotations

from typing import Final

_BY_CODE: Final = {
    "read-only": "`ringbridge keys create` makes one that may write, with a key that may make keys",
    "no-such-call": "`ringbridge calls list` has those that are up, `ringbridge cdrs list` those that are over",
    "no-such-user": "`ringbridge users list` has those that are there",
    "no-such-device": "`ringbridge devices list` has those that are there",
    "no-such-key": "`ringbridge keys list` has those that this key rules over",
    "no-such-domain": "missing, or not for this key: `ringbridge keys show` says how far it reaches",
    "no-such-path": "is this the address of a Ringbridge? --url takes http://host:port, without a path",
    "in-use": "remove what uses it first, or all of it at once with --cascade",
}
_BY_STATUS: Final = {
    0: "is it running? `ringbridge demo` or `ringbridge serve` starts one; --url or RINGBRIDGE_CLIENT_URL says where "
    "it is",
    401: "give another key with --key or RINGBRIDGE_CLIENT_API_KEY: `ringbridge demo` prints one, the first of a node "
    "is in the file admin.key of its data folder, `ringbridge keys create` makes more",
    403: "`ringbridge keys show` says how far this key reaches; --key takes another",
    429: "wait a moment, then try again",
    503: "wait a moment, then try again; what is missing is told by /readyz",
}


def remedy_of(status: int, codes: frozenset[str]) -> str:
    """Return what to do about a refusal; empty where its faults say it all."""
    known = [text for code, text in _BY_CODE.items() if code in codes]
    return known[0] if known else _BY_STATUS.get(status, "")
