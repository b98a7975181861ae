"""The client of RTPProxy's control port: our own relay process, or any rtpproxy by its address.

Commands are datagrams `<cookie> <command>`; the reply carries the cookie. A command that stays without a reply is sent
again; RTPProxy keeps replies for a few seconds and answers a cookie that it knows with the same reply, so nothing is
done twice.

Every method sends at once and returns a future, so several commands of a call can be under way together; awaiting them
is only for who wants the outcome. RTPProxy works in the order of arrival. So that a retransmission cannot undo what
came after it (a lost `play`, sent again after `stop_play`), a command is not sent again once a later one of the same
kind went out for the same leg.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct

from ringbridge.media import relay_commands as commands
from ringbridge.media.relay_commands import RelayRefused, RelaySession, Traffic
from ringbridge.model.call import Side

RETRY_AFTER_S: Final = 0.2
"""Seconds until a command is sent again; one machine's reply takes a tenth of a millisecond, a near network's a few."""
HOLD_PROMPT: Final = "hold"
"""The prompt of whoever is on hold, a name in the prompts folder; the others are ringback by country."""
_MOST_BYTES: Final = 8192

T = TypeVar("T")
_Slot = tuple[str, str, Side]
"""Commands of which only the latest counts: what kind, of which session, for which leg."""


EXTERNAL: Final = "external"
"""The instance of a relay that is not ours, until it is seen to have been restarted."""


class RelayUnavailable(Exception):
    """The relay does not answer, or is gone; what was asked may or may not have been done."""


class RelayInfo(Struct, frozen=True):
    """A relay that answers; `instance` changes when it was restarted, and then its sessions are lost."""

    instance: str
    sessions: int


class RelayAddress(Struct, frozen=True):
    """Where a relay is controlled, and what it can do.

    `control` is `udp:host:port`; `media_host` the address in SDP; `prompts` the folder of its prompts, on its machine.
    `dead_end` is an address of its own host, to stand for a party that has none yet. `records`: it writes recordings
    where this node finds them.
    """

    control: str
    media_host: str
    prompts: str
    instance: str
    dead_end: str = "127.0.0.1"
    records: bool = False


class _Waiting(Protocol):
    """A `_Pending` of whatever type."""

    datagram: bytes
    slot: _Slot | None
    retries_at: float
    gives_up_at: float

    def settle(self, reply: bytes) -> None: ...
    def fail(self, error: Exception) -> None: ...


class _Pending(Generic[T]):
    """A command that waits for its reply."""

    __slots__ = ("datagram", "gives_up_at", "read", "reply", "retries_at", "slot")

    def __init__(
        self,
        datagram: bytes,
        read: Callable[[bytes], T],
        reply: asyncio.Future[T],
        slot: _Slot | None,
        *,
        now: float,
        deadline_s: float,
    ) -> None:
        self.datagram = datagram
        self.read = read
        self.reply = reply
        self.slot = slot
        self.retries_at = now + RETRY_AFTER_S
        self.gives_up_at = now + deadline_s

    def settle(self, reply: bytes) -> None:
        if self.reply.done():
            return
        try:
            self.reply.set_result(self.read(reply))
        except (RelayRefused, commands.BadReply) as error:
            self.fail(error if isinstance(error, RelayRefused) else RelayUnavailable(str(error)))

    def fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
            self.reply.exception()  # nobody need wait for a command, so nobody is told off for not doing so


class Relay:
    """One relay. Every command raises `RelayRefused` if the relay says no, `RelayUnavailable` if it says nothing."""

    def __init__(self, address: RelayAddress, *, deadline_s: float = 1.0) -> None:
        self._address = address
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._pending: dict[bytes, _Waiting] = {}
        self._latest: dict[_Slot, _Waiting] = {}
        self._count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self._prefix = b""
        self._restarts = 0
        self._sessions_created = 0
        self._is_silent = False
        self._listeners: list[Callable[[str], None]] = []

    @classmethod
    async def connect(cls, address: RelayAddress, *, deadline_s: float = 1.0) -> Self:
        """Return a client of the relay at `address`; `deadline_s` is how long a command may take, in seconds.

        Nothing is sent; `ping` tells whether the relay is there.

        Raises:
            RelayUnavailable: the address does not resolve.
        """
        relay = cls(address, deadline_s=deadline_s)
        await relay.retarget(address)
        return relay

    async def retarget(self, address: RelayAddress) -> None:
        """Go on with another relay, or another instance; commands under way fail with `RelayUnavailable`."""
        self.close_client("the relay was replaced")
        self._address = address
        self._restarts = self._sessions_created = 0
        _, host, port = address.control.split(":", 2)
        try:
            family, _, _, _, where = (
                await self._loop.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM, family=socket.AF_INET)
            )[0]
            control = socket.socket(family, socket.SOCK_DGRAM)
            control.setblocking(False)
            control.connect(where)
        except OSError as error:
            raise RelayUnavailable(f"no way to the relay at {address.control}: {error}") from error
        self._socket = control
        # Two clients of one relay must not share cookies, or one gets the other's replies.
        self._prefix = f"{secrets.token_hex(6)}-".encode()
        self._loop.add_reader(control.fileno(), self._receive)

    def close_client(self, why: str = "the client was closed") -> None:
        """Let go of the control port; the relay and its sessions go on."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        pending, self._pending = self._pending, {}
        self._latest.clear()
        for command in pending.values():
            command.fail(RelayUnavailable(why))

    @property
    def address(self) -> RelayAddress:
        return self._address

    @property
    def is_external(self) -> bool:
        """Whether it is somebody else's process: how often it was started again is known since our own start alone."""
        return self._address.instance == EXTERNAL

    def on_restart(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the lost instance when `ping` notices that an external relay was restarted."""
        self._listeners.append(listener)

    @property
    def is_up(self) -> bool:
        """Whether the relay answered last, or has not been asked; a command that is given up tells that it is not."""
        return self._socket is not None and not self._is_silent

    @property
    def instance(self) -> str:
        """The relay's instance; a session of another instance is lost."""
        return f"{self._address.instance}+{self._restarts}" if self._restarts else self._address.instance

    # --- commands ----------------------------------------------------------------------------------------------------

    async def open(self, session_id: str, *, learn: Sequence[Side] = ()) -> RelaySession:
        """Make a session and return it with both its ports; doing it again returns the same one.

        `learn` names the legs whose address is learned from packets, where a NAT needs it; all others are sent to, and
        heard from, only where `set_remote` says.

        Raises:
            ValueError: `session_id` has characters that the protocol cannot carry.
        """
        command = commands.open_session(session_id, dead_end=self._address.dead_end, learn=learn)
        ports = await self._send(command, commands.read_ports)
        host = self._address.media_host
        return RelaySession(session_id, host, ports.orig_port, ports.term_port, self.instance, tuple(learn))

    def set_remote(self, session: RelaySession, side: Side, host: str, port: int) -> asyncio.Future[int]:
        """Send the audio for the leg on `side` to `host` and `port`; the result is our port for it, as before.

        Raises:
            ValueError: at once, if `host` is no IP address or `port` no port.
        """
        slot = ("remote", session.session_id, side)
        return self._of(session, commands.set_remote(session, side, host, port), commands.read_port, slot=slot)

    def play(
        self, session: RelaySession, side: Side, prompt: str, *, payload_types: Sequence[int], loops: int = -1
    ) -> asyncio.Future[None]:
        """Let the leg on `side` hear a prompt (`us`, a name in the prompts folder) `loops` times, or until stopped.

        The first of `payload_types` that the prompt exists in is used; refused if there is none.
        """
        path = f"{self._address.prompts}/{prompt}"
        command = commands.play(session, side, path, payload_types=payload_types, loops=loops)
        return self._of(session, command, commands.read_ok, slot=("prompt", session.session_id, side))

    def stop_play(self, session: RelaySession, side: Side) -> asyncio.Future[None]:
        """End what `play` began; nothing happens if it has ended already."""
        slot = ("prompt", session.session_id, side)
        return self._of(session, commands.stop_play(session, side), commands.read_ok, slot=slot)

    def record(self, session: RelaySession, side: Side, name: str) -> asyncio.Future[None]:
        """Write what comes from the leg on `side` to a file of that `name`; one that it has already is gone on with.

        Raises:
            ValueError: at once, if `name` is none for a file.
        """
        command = commands.record(session, side, name)
        return self._of(session, command, commands.read_ok, slot=("record", session.session_id, side))

    def stop_record(self, session: RelaySession, side: Side) -> asyncio.Future[None]:
        """End what `record` began; that there was nothing shows as `RelayRefused.is_gone`."""
        slot = ("record", session.session_id, side)
        return self._of(session, commands.stop_record(session, side), commands.read_ok, slot=slot)

    def close(self, session: RelaySession) -> asyncio.Future[None]:
        """End a session; that it was gone already shows as `RelayRefused.is_gone`."""
        return self._of(session, commands.close_session(session), commands.read_ok)

    def traffic(self, session: RelaySession) -> asyncio.Future[Traffic]:
        """Return how many packets went through a session so far."""
        return self._of(session, commands.traffic(session), commands.read_traffic)

    async def ping(self) -> RelayInfo:
        """Return whether the relay is there, by what it says; notices that an external one was restarted."""
        counters = await self._send(commands.COUNTERS, commands.read_counters)
        was_restarted = counters.sessions_created < self._sessions_created
        self._sessions_created = counters.sessions_created
        if was_restarted:
            lost = self.instance
            self._restarts += 1
            for listener in self._listeners:
                listener(lost)
        return RelayInfo(self.instance, counters.sessions)

    async def watch(self, every_s: float) -> None:
        """Ask the relay for ever whether it is there: `is_up` says so then, though nobody calls."""
        while True:
            await asyncio.sleep(every_s)
            with suppress(RelayUnavailable, RelayRefused):
                await self.ping()

    # --- transport ---------------------------------------------------------------------------------------------------

    def _of(
        self, session: RelaySession, command: bytes, read: Callable[[bytes], T], *, slot: _Slot | None = None
    ) -> asyncio.Future[T]:
        """Send a command of a session, unless the session was lost with another instance."""
        if session.instance == self.instance:
            return self._send(command, read, slot=slot)
        lost: asyncio.Future[T] = self._loop.create_future()
        lost.set_exception(RelayRefused(commands.Refusal.NO_SUCH_SESSION, command[:1].decode()))
        lost.exception()
        return lost

    def _send(self, command: bytes, read: Callable[[bytes], T], *, slot: _Slot | None = None) -> asyncio.Future[T]:
        self._count += 1
        cookie = b"%s%d" % (self._prefix, self._count)
        reply: asyncio.Future[T] = self._loop.create_future()
        now = self._loop.time()
        pending = _Pending(b"%s %s" % (cookie, command), read, reply, slot, now=now, deadline_s=self._deadline_s)
        if self._socket is None:
            pending.fail(RelayUnavailable("the client is closed"))
            return reply
        if slot is not None:
            if earlier := self._latest.get(slot):
                earlier.retries_at = inf
            self._latest[slot] = pending
        self._pending[cookie] = pending
        self._transmit(pending.datagram)
        if self._sweep is None:
            self._sweep = self._loop.call_later(RETRY_AFTER_S / 2, self._sweep_pending)
        return reply

    def _transmit(self, datagram: bytes) -> None:
        try:
            if self._socket is not None:
                self._socket.send(datagram)
        except OSError:
            # A full buffer, or the ICMP error of an earlier datagram: as good as lost on the way, and sent again.
            return

    def _receive(self) -> None:
        control = self._socket
        while control is not None:
            try:
                datagram = control.recv(_MOST_BYTES)
            except OSError:
                # Nothing more to read; or "connection refused": the relay may be on its way back, the deadline decides.
                return
            cookie, _, reply = datagram.partition(b" ")
            if pending := self._take(cookie):
                self._is_silent = False
                pending.settle(reply)

    def _take(self, cookie: bytes) -> _Waiting | None:
        """Return the command that waits under a cookie, which it does no longer."""
        pending = self._pending.pop(cookie, None)
        if pending is not None and pending.slot is not None and self._latest.get(pending.slot) is pending:
            del self._latest[pending.slot]
        return pending

    def _sweep_pending(self) -> None:
        """Send again what has waited long enough, and give up what has waited too long."""
        now = self._loop.time()
        for cookie, pending in list(self._pending.items()):
            if now >= pending.gives_up_at:
                self._take(cookie)
                self._is_silent = True
                pending.fail(RelayUnavailable(f"no answer from the relay at {self._address.control}"))
            elif now >= pending.retries_at:
                pending.retries_at = now + RETRY_AFTER_S
                self._transmit(pending.datagram)
        self._sweep = self._loop.call_later(RETRY_AFTER_S / 2, self._sweep_pending) if self._pending else None
