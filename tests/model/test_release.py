"""Release causes: what a SIP status means for the caller."""

from __future__ import annotations

import pytest

from ringbridge.model.cdr import disconnect_reason_text
from ringbridge.model.release import (
    CALLER_GAVE_UP,
    DELETED,
    DELETED_WHILE_UP,
    DIALLED_TOO_LATE,
    HUNG_UP,
    RING_TIMEOUT,
    ReleaseCause,
    Result,
    of_sip_status,
)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (302, Result.REJECTED),
        (401, Result.REJECTED),
        (403, Result.REJECTED),
        (404, Result.UNREACHABLE),
        (407, Result.REJECTED),
        (408, Result.UNREACHABLE),
        (410, Result.UNREACHABLE),
        (480, Result.NO_ANSWER),
        (486, Result.BUSY),
        (487, Result.CANCELLED),
        (488, Result.FAILED),
        (500, Result.FAILED),
        (503, Result.UNREACHABLE),
        (600, Result.BUSY),
        (603, Result.REJECTED),
        (604, Result.UNREACHABLE),
        (606, Result.FAILED),
    ],
)
def test_a_status_has_its_result(status: int, result: Result) -> None:
    cause = of_sip_status(status)
    assert (cause.result, cause.sip_status) == (result, status)


def test_every_final_refusal_has_a_cause_with_a_kebab_case_reason() -> None:
    for status in range(300, 700):
        cause = of_sip_status(status)
        assert cause.result not in (Result.COMPLETED, Result.EXPIRED)
        assert cause.reason == cause.reason.lower()
        assert " " not in cause.reason


@pytest.mark.parametrize(
    ("cause", "ended_by", "text"),
    [
        (HUNG_UP, "origination", "Orig: Bye"),
        (HUNG_UP, "termination", "Term: Bye"),
        (CALLER_GAVE_UP, "origination", "Orig: Cancel"),
        (DELETED, "system", "Orig: Cancel"),
        (DELETED_WHILE_UP, "system", "System: deleted"),
        (of_sip_status(486), "termination", "Term: 486 Busy Here"),
        (of_sip_status(486), "origination", "Orig: 486 Busy Here"),
        (of_sip_status(499), "termination", "Term: 499"),
        (RING_TIMEOUT, "termination", "Term: No Answer"),
        (DIALLED_TOO_LATE, "system", "System: dial-before-passed"),
        (ReleaseCause(Result.FAILED, "relay-unavailable"), "origination", "Orig: relay-unavailable"),
    ],
)
def test_the_legacy_text_of_a_disconnect(cause: ReleaseCause, ended_by: str, text: str) -> None:
    assert disconnect_reason_text(cause, ended_by) == text
