"""An in-memory network in virtual time between endpoints: loss, duplication, reordering, all from one seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import EndpointEvent
from ringbridge.sip.session_orders import InviteOrder

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
OTHER_SDP = SDP.replace(b"4000", b"5000")


def counting_tokens(prefix: str) -> Callable[[], str]:
    """Return a source of tokens that are unique and the same in every run."""
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers):x}"


@dataclass(slots=True)
class Faults:
    """What the network does to a datagram, as probabilities; delays in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay_s: float = 0.01
    late_by_s: float = 0.7
    """How much longer a reordered datagram takes: longer than T1."""


@dataclass(slots=True)
class Node:
    """One endpoint on the wire, and who handles its events."""

    endpoint: Endpoint
    peer: Peer
    handle: Callable[[EndpointEvent, float], None]
    events: list[EndpointEvent] = field(default_factory=list)


class Wire:
    """Carries datagrams between nodes; `run` moves the virtual clock to whatever is next."""

    def __init__(self, seed: int = 1, faults: Faults | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.now = 0.0
        self.nodes: dict[Peer, Node] = {}
        self.sent = 0
        self.lost = 0
        self._serial = count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def add(self, port: int, handle: Callable[[EndpointEvent, float], None], *, prefix: str) -> Node:
        peer = Peer(Transport.UDP, "192.0.2.1", port)
        settings = EndpointSettings("192.0.2.1", port, application_methods=frozenset())
        node = Node(Endpoint(settings, new_token=counting_tokens(prefix)), peer, handle)
        self.nodes[peer] = node
        return node

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._serial), action))

    def _carry(self, data: bytes, source: Peer, destination: Peer) -> None:
        node = self.nodes.get(destination)
        faults, chance = self.faults, self.random
        copies = 2 if chance.random() < faults.duplication else 1
        for _ in range(copies):
            self.sent += 1
            if node is None or chance.random() < faults.loss:
                self.lost += 1
                continue
            delay_s = faults.delay_s * (0.5 + chance.random())
            if chance.random() < faults.reordering:
                delay_s += faults.late_by_s * chance.random()
            self.at(self.now + delay_s, lambda to=node: to.endpoint.receive(data, source, self.now))  # type: ignore[misc]  # bound early

    def _settle(self) -> None:
        """Take what the endpoints produced until they produce nothing more at this instant."""
        busy = True
        while busy:
            busy = False
            for node in self.nodes.values():
                for event in node.endpoint.take_events():
                    busy = True
                    node.events.append(event)
                    node.handle(event, self.now)
                for destination, data in node.endpoint.take_outgoing():
                    busy = True
                    self._carry(data, node.peer, destination)

    def run(self, until: float) -> None:
        """Let everything happen that is due by `until`, then stand there."""
        self._settle()
        while True:
            due = [node.endpoint.next_timeout() for node in self.nodes.values()]
            times = [at for at in due if at is not None]
            if self._queue:
                times.append(self._queue[0][0])
            if not times or min(times) > until:
                break
            self.now = max(self.now, min(times))
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
                self._settle()
            for node in self.nodes.values():
                node.endpoint.handle_timeout(self.now)
            self._settle()
        self.now = until


def order_to(peer: Peer, **changes: object) -> InviteOrder:
    """Return an order to invite whoever is at `peer`."""
    fields: dict[str, object] = {
        "peer": peer,
        "uri": f"sip:1001@{peer.host}:{peer.port}",
        "from_": '"Ann" <sip:1002@demo>',
        "to": "<sip:1001@demo>",
        "sdp": SDP,
    }
    return InviteOrder(**(fields | changes))  # type: ignore[arg-type]  # a test names the fields it changes
