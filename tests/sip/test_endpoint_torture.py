"""The torture messages and broken ones by the thousand, thrown at an endpoint."""

from itertools import count

import pytest

from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.endpoint_settings import EndpointSettings, EndpointSizes
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import IncomingInvite, IncomingRequest
from tests.sip.mutate import mutated
from tests.sip.rfc4475.expectations import EXPECTED, read

PEER = Peer(Transport.UDP, "198.51.100.7", 5060)


def endpoint() -> Endpoint:
    numbers = count()
    return Endpoint(EndpointSettings("192.0.2.1", 5060), new_token=lambda: f"token{next(numbers)}")


def finals(sent: list[tuple[Peer, bytes]]) -> list[int]:
    statuses = [int(data[8:11]) for _, data in sent if data.startswith(b"SIP/2.0 ")]
    return [status for status in statuses if status >= 200]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_torture_message_gets_a_right_answer(name: str) -> None:
    target = endpoint()
    target.receive(read(name), PEER, 0.0)
    events = target.take_events()
    answers = finals(target.take_outgoing())
    assert len(answers) <= 1
    if any(isinstance(event, IncomingRequest) for event in events):
        assert not answers  # a REGISTER: the registrar's to answer
    else:
        assert EXPECTED[name].permits(answers[0] if answers else None)


def throw(target: Endpoint, seed: int, messages: int) -> None:
    """Throw broken messages at an endpoint, 20 a second of its clock, refusing what it asks about; then let it rest."""
    now = 0.0
    for data in mutated(seed, messages):
        now += 0.05
        target.receive(data, PEER, now)
        while (due := target.next_timeout()) is not None and due <= now:
            target.handle_timeout(due)
        for event in target.take_events():
            if isinstance(event, IncomingRequest):
                target.respond(event.transaction, now, status=401)
            if isinstance(event, IncomingInvite):
                target.reject(event.session, now, status=486)
        for peer, sent in target.take_outgoing():
            assert peer.port > 0
            assert b"\r\n\r\n" in sent
    while (due := target.next_timeout()) is not None:
        target.handle_timeout(due)
        target.take_events()
        target.take_outgoing()


def test_5_000_broken_messages_leave_nothing_behind() -> None:
    target = endpoint()
    throw(target, seed=5, messages=5_000)
    assert target.counters.received == 5_000
    assert target.counters.malformed > 1_000
    assert target.sizes() == EndpointSizes(0, 0, 0, 0, 0)
