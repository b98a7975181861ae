"""The control protocol of RTPProxy, as bytes: commands out, replies in (no cookie; that is the transport's).

One session is one call. It is made with two tags, `o` and `t`, for its two legs, and has a port for each from the
start: one command makes both, because RTPProxy lets a lookup ride on the update that makes the session (`U … && L …`).

Learning of addresses. A leg's address is what its SDP says (`a`, "asymmetric": packets from other hosts are dropped,
nothing is learned). While there is no SDP yet, a dead port of the relay's own host stands in for it: a session without
any address would take the first packet of anybody for its party, and then trust no SDP any more. Where a NAT makes
learning necessary the leg is opened with `s`: the address of its first packet counts, until the next offer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ringbridge.model.call import Side

DISCARD_PORT: Final = 9
_TAGS: Final = {Side.ORIGINATION: "o t", Side.TERMINATION: "t o"}
_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:+=-")


class RelaySession(Struct, frozen=True):
    """A session of the relay: all that is needed to go on with it, also after a restart of the engine.

    `orig_port` stands in the SDP that leg A gets, `term_port` in leg B's. `instance` is the relay that has it; another
    instance means that the media is lost. `learn` names the legs whose address is learned from packets. `number` counts
    the sessions that one call has had.
    """

    session_id: str
    host: str
    orig_port: int
    term_port: int
    instance: str
    learn: tuple[Side, ...] = ()
    number: int = 0

    def port(self, side: Side) -> int:
        """Return the relay's port for the leg on `side`."""
        return self.orig_port if side is Side.ORIGINATION else self.term_port

    def at(self, side: Side) -> tuple[str, int]:
        """Return the relay's address for the leg on `side`."""
        return self.host, self.port(side)

    def learning(self, side: Side, *, on: bool) -> RelaySession:
        """Return it with the address of the leg on `side` learned from packets, or not."""
        if (side in self.learn) is on:
            return self
        return replace(self, learn=tuple(one for one in Side if (on if one is side else one in self.learn)))


class Ports(Struct, frozen=True):
    """The two ports of a new session."""

    orig_port: int
    term_port: int


class Counters(Struct, frozen=True):
    """How much a relay has done since it started."""

    sessions_created: int
    sessions_ended: int
    commands: int

    @property
    def sessions(self) -> int:
        return self.sessions_created - self.sessions_ended


class Traffic(Struct, frozen=True):
    """Packets of one session so far, RTP and RTCP together; `ttl_s` is when it would be given up for silence."""

    ttl_s: int
    from_origination: int
    from_termination: int
    relayed: int
    dropped: int


class Refusal(IntEnum):
    """The error codes that tell us something; the others are faults of ours."""

    NO_SUCH_SESSION = 50
    NO_PROMPT = 60
    NO_PORTS = 71
    NO_PORTS_FOR_NEW = 72
    OVERLOADED = 98
    SHUTTING_DOWN = 99


class RelayRefused(Exception):
    """The relay answered with an error; `code` is RTPProxy's own."""

    def __init__(self, code: int, command: str) -> None:
        known = f", {Refusal(code).name.lower().replace('_', ' ')}" if code in set(Refusal) else ""
        super().__init__(f"the relay refused {command} with error {code}{known}")
        self.code = code
        self.command = command

    @property
    def is_gone(self) -> bool:
        """Whether the relay does not have the session."""
        return self.code == Refusal.NO_SUCH_SESSION


# --- commands --------------------------------------------------------------------------------------------------------


def open_session(session_id: str, *, dead_end: str, learn: Collection[Side] = ()) -> bytes:
    """Return the command that makes a session with both ports; `dead_end` is an address of the relay's own host.

    Raises:
        ValueError: `session_id` is not fit for the protocol.
    """
    session = _name(session_id)
    orig, term = (_mode(side in learn) for side in Side)
    six = "6" if ":" in dead_end else ""
    return (f"U{orig}{six} {session} {dead_end} {DISCARD_PORT} o t && L{term}{six} {dead_end} {DISCARD_PORT}").encode()


def set_remote(session: RelaySession, side: Side, host: str, port: int) -> bytes:
    """Return the command that says where the leg on `side` takes its audio; a lookup, so it never makes a session.

    Raises:
        ValueError: `host` is not an address, or `port` no port.
    """
    if not host or not _ADDRESS.issuperset(host) or not 0 < port < 65536:
        raise ValueError(f"not an address for media: {host!r} port {port}")
    six = "6" if ":" in host else ""
    # A lookup speaks for the party of its *second* tag, an update for that of its first.
    return f"L{_mode(side in session.learn)}{six} {session.session_id} {host} {port} {_TAGS[side.other]}".encode()


_ADDRESS: Final = frozenset("0123456789abcdefABCDEF.:")


def play(session: RelaySession, side: Side, prompt: str, *, payload_types: Sequence[int], loops: int = -1) -> bytes:
    """Return the command that lets the leg on `side` hear a prompt, `loops` times or (-1) until it is stopped.

    `prompt` is a path on the relay's machine without its suffix; of `payload_types` the first that has a file
    (`prompt.0`, `prompt.8`) is played. The other leg's packets are held back meanwhile.

    Raises:
        ValueError: no payload types, or a path that the protocol cannot carry.
    """
    if not payload_types or not prompt or not prompt.isprintable() or " " in prompt:
        raise ValueError(f"cannot play {prompt!r} in {payload_types}")
    codecs = ",".join(map(str, payload_types))
    return f"P{loops} {session.session_id} {prompt} {codecs} {_TAGS[side]}".encode()


def stop_play(session: RelaySession, side: Side) -> bytes:
    """Return the command that ends a prompt; no error if there is none."""
    return f"S {session.session_id} {_TAGS[side]}".encode()


def record(session: RelaySession, side: Side, name: str) -> bytes:
    """Return the command that writes every packet that comes from the leg on `side` to a file of that `name`.

    The file gets the suffix `.rtp`, and shows in the relay's folder of recordings once it is whole. A leg that is
    recorded already goes on in the file that it has.

    Raises:
        ValueError: `name` is not fit for the protocol, or for a file.
    """
    if not name or len(name) > _LONGEST_NAME or not _SAFE.issuperset(name):
        raise ValueError(f"not a name for a recording: {name!r}")
    return f"C {session.session_id} {name} {_TAGS[side]}".encode()


_LONGEST_NAME: Final = 240
"""Characters: with the suffix, what a file system takes."""


def stop_record(session: RelaySession, side: Side) -> bytes:
    """Return the command that ends a recording; refused as no such session if there is none."""
    return f"N {session.session_id} {_TAGS[side]}".encode()


def close_session(session: RelaySession) -> bytes:
    """Return the command that ends a session and gives its ports back."""
    return f"D {session.session_id} o t".encode()


def traffic(session: RelaySession) -> bytes:
    """Return the command that asks for a session's counts."""
    return f"Q {session.session_id} o t".encode()


COUNTERS: Final = b"G nsess_created nsess_destroyed ncmds_rcvd"


def _mode(learn: bool) -> str:  # noqa: FBT001  a flag of the protocol
    return "s" if learn else "a"


def _name(session_id: str) -> str:
    if session_id and len(session_id) <= 128 and _SAFE.issuperset(session_id):
        return session_id
    raise ValueError(f"not a session id that a relay can carry: {session_id!r}")


# --- replies ---------------------------------------------------------------------------------------------------------


class BadReply(ValueError):
    """What came back is no reply of RTPProxy's."""


def read_ports(reply: bytes) -> Ports:
    """Return the ports from the reply to `open_session`: `<for B> <host> && <for A> <host>`."""
    for_term, _, for_orig = _text(reply, "open").partition("&&")
    return Ports(orig_port=_port(for_orig), term_port=_port(for_term))


def read_port(reply: bytes) -> int:
    """Return the port from the reply to `set_remote`.

    Raises:
        RelayRefused: among others, the relay does not have the session: it says so with port 0.
    """
    text = _text(reply, "set_remote")
    if text.strip() == "0":
        raise RelayRefused(Refusal.NO_SUCH_SESSION, "set_remote")
    return _port(text)


def read_ok(reply: bytes) -> None:
    """Return if the reply to `play`, `record`, their ends or `close_session` says that it was done."""
    if (text := _text(reply, "command").strip()) != "0":
        raise BadReply(f"neither done nor error: {text[:60]!r}")


def read_counters(reply: bytes) -> Counters:
    """Return the reply to `COUNTERS`."""
    return Counters(*_numbers(_text(reply, "counters"), 3))


def read_traffic(reply: bytes) -> Traffic:
    """Return the reply to `traffic`; RTPProxy names the far party first: packets in from B, then from A."""
    ttl_s, from_term, from_orig, relayed, dropped = _numbers(_text(reply, "traffic"), 5)
    return Traffic(ttl_s, from_orig, from_term, relayed, dropped)


def _text(reply: bytes, command: str) -> str:
    text = reply.decode("latin-1").strip()
    if text[:1] == "E" and text[1:].isdigit():
        raise RelayRefused(int(text[1:]), command)
    return text


def _port(text: str) -> int:
    first = text.split(maxsplit=1)[:1]
    if first and first[0].isdigit() and 0 < int(first[0]) < 65536:
        return int(first[0])
    raise BadReply(f"no port in {text[:60]!r}")


def _numbers(text: str, count: int) -> list[int]:
    parts = text.split()
    if len(parts) != count or not all(part.isdigit() for part in parts):
        raise BadReply(f"not {count} numbers: {text[:60]!r}")
    return [int(part) for part in parts]
