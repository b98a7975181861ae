"""The bus contract: every event comes back as it went, and nothing else is taken for one."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbridge.model.events import (
    CallBarred,
    CallClaimed,
    CallEnded,
    CallEnding,
    CallEvent,
    EndRequested,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    LegUpdated,
    decode,
    encode,
)
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, UserName
from ringbridge.model.release import ReleaseCause, Result
from tests.calls.samples import requested, target

CAUSE = ReleaseCause(Result.BUSY, "busy", 486)
ONE_OF_EACH: list[CallEvent] = [
    requested(),
    CallBarred(DomainName("d"), UserName("u"), CallId("c"), at=1.5, until=2.5),
    CallClaimed(NodeId("n"), 3, at=1.0),
    LegInvited(LegId("o1"), target("1001"), sip_call_id="a@b", dialog=b"\x00\xff", at=1.0),
    LegRinging(LegId("o1"), at=1.0, early_media=True),
    LegAnswered(LegId("o1"), dialog=b"d", codec="PCMU", at=1.0, acked_at=1.25, remote_media="h:1"),
    LegUpdated(LegId("o1"), dialog=b"", at=1.0, held=True),
    LegReleased(LegId("o1"), CAUSE, at=1.0),
    EndRequested("key 1 é", at=1.0),
    CallEnding(CAUSE, "origination", at=1.0),
    CallEnded(CAUSE, "termination", at=1.0),
]


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_went(event: CallEvent) -> None:
    assert decode(encode([event])) == [event]


def test_a_batch_keeps_its_order() -> None:
    assert decode(encode(ONE_OF_EACH)) == ONE_OF_EACH


def test_an_empty_batch_is_no_message() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encode([])


def test_a_message_of_a_later_version_is_still_read() -> None:
    """A node that knows more fields may write to one that knows fewer, while a cluster is being upgraded."""
    newer = msgspec.msgpack.encode([{"type": "leg-ringing", "leg_id": "o1", "at": 1.0, "colour": "red"}])
    assert decode(newer) == [LegRinging(LegId("o1"), at=1.0)]


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(decode(data), list)


@settings(max_examples=50)
@given(st.sampled_from(ONE_OF_EACH), st.integers(min_value=0), st.integers(0, 255))
def test_a_damaged_message_is_refused_or_read(event: CallEvent, place: int, byte: int) -> None:
    data = bytearray(encode([event]))
    data[place % len(data)] = byte
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(decode(bytes(data)), list)
