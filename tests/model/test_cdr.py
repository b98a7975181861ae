"""A CDR tells what happened, and nothing that did not."""

from __future__ import annotations

import pytest

from ringbridge.model.call import Call, fold
from ringbridge.model.cdr import cdr_of
from ringbridge.model.events import CallBarred, CallClaimed, CallEnded, CallEvent, LegInvited, LegReleased, LegRinging
from ringbridge.model.release import (
    ANSWERED_ELSEWHERE,
    CALLER_GAVE_UP,
    DELETED,
    DIALLED_TOO_LATE,
    RING_TIMEOUT,
    of_sip_status,
)
from tests.calls.samples import DOMAIN, NODE, O1, START, T1, T2, USER, requested, target
from tests.model.test_call import STORY, folded


def ended(*batches: list[CallEvent]) -> Call:
    return folded([requested()], *batches)


CLAIM = CallClaimed(NODE, 1, START + 1)
RING_O1: list[CallEvent] = [CLAIM, LegInvited(O1, target("1001"), "sip-o1", b"o", START + 1)]


def test_a_joined_call() -> None:
    cdr = cdr_of(folded(*STORY))
    assert (cdr.started_at, cdr.ringing_at, cdr.orig_answered_at, cdr.answered_at, cdr.ended_at) == (
        START,
        START + 5,
        START + 3,
        START + 6,
        START + 20,
    )
    assert (cdr.talking_s, cdr.total_s, cdr.held_s) == (14.0, 20.0, 4.0)
    assert (cdr.orig_caller_id, cdr.term_caller_id) == ("1002", "+4570101010")
    assert (cdr.orig_user, cdr.term_user, cdr.dialled) == ("1001", "1002", "1002")
    assert (cdr.orig_sip_call_id, cdr.term_sip_call_id, cdr.codec) == ("sip-o1", "sip-t1", "PCMA")
    assert (cdr.ended_by, cdr.disconnect_reason_text, cdr.node) == ("termination", "Term: Bye", NODE)
    assert (cdr.id, cdr.call_id, cdr.user, cdr.domain) == ("s-c1", "c1", USER, DOMAIN)


def test_a_busy_first_leg_was_never_answered() -> None:
    busy = of_sip_status(486)
    cdr = cdr_of(ended(RING_O1, [LegReleased(O1, busy, START + 2), CallEnded(busy, "origination", START + 2)]))
    assert (cdr.orig_answered_at, cdr.answered_at, cdr.ringing_at, cdr.talking_s) == (0.0, 0.0, 0.0, 0.0)
    assert (cdr.cause, cdr.disconnect_reason_text) == (busy, "Orig: 486 Busy Here")
    assert (cdr.term_uri, cdr.term_sip_call_id) == ("sip:1002@demo.example", "")


def test_a_second_leg_that_did_not_answer_shows_its_ringing_and_the_first_leg_as_answered() -> None:
    cdr = cdr_of(
        folded(
            *STORY[:7],
            [LegReleased(O1, RING_TIMEOUT, START + 60)],
            [LegReleased(T1, RING_TIMEOUT, START + 60), CallEnded(RING_TIMEOUT, "termination", START + 60)],
        )
    )
    assert (cdr.orig_answered_at, cdr.ringing_at, cdr.answered_at) == (START + 3, START + 5, 0.0)
    assert (cdr.talking_s, cdr.total_s, cdr.cause) == (0.0, 60.0, RING_TIMEOUT)


def test_ringing_is_when_the_first_phone_of_the_second_leg_rang() -> None:
    """Two phones: the one that rang first is not the one that spoke last."""
    cdr = cdr_of(
        folded(
            *STORY[:7],
            [LegInvited(T2, target("1002m"), "sip-t2", b"t", START + 4)],
            [LegRinging(T2, START + 5.5)],
            [LegReleased(T2, ANSWERED_ELSEWHERE, START + 7)],
            [LegReleased(T1, CALLER_GAVE_UP, START + 7), CallEnded(CALLER_GAVE_UP, "origination", START + 7)],
        )
    )
    assert cdr.ringing_at == START + 5


@pytest.mark.parametrize("cause", [DELETED, DIALLED_TOO_LATE])
def test_a_call_that_rang_nobody_has_a_cdr_too(cause: object) -> None:
    assert cause in (DELETED, DIALLED_TOO_LATE)
    event = CallEnded(DELETED if cause is DELETED else DIALLED_TOO_LATE, "system", START + 31)
    cdr = cdr_of(ended([event]))
    assert (cdr.cause, cdr.total_s, cdr.orig_uri) == (cause, 31.0, "sip:1001@demo.example")
    assert (cdr.orig_sip_call_id, cdr.codec, cdr.node) == ("", "", "")


def test_durations_are_never_negative_when_the_clock_steps_back() -> None:
    story: list[list[CallEvent]] = [*STORY[:-1], [CallEnded(DELETED, "system", START - 5)]]
    cdr = cdr_of(folded(*story))
    assert (cdr.talking_s, cdr.total_s) == (0.0, 0.0)
    assert cdr.held_s >= 0.0


def test_a_call_that_goes_on_has_no_cdr() -> None:
    with pytest.raises(ValueError, match="no CDR yet"):
        cdr_of(folded(*STORY[:-1]))


def test_a_bar_has_no_cdr() -> None:
    barred = fold(None, [CallBarred(DOMAIN, USER, requested().call_id, START, START + 1)], 1)
    assert barred is not None
    with pytest.raises(ValueError, match="barred"):
        cdr_of(barred)
