"""The session's table as a whole: what no single story shows."""

from __future__ import annotations

import pytest

from ringbridge.sip.session import SESSION, Action, Input, State

FINAL = {
    Action.REPORT_FAILURE,
    Action.REPORT_CANCELLED,
    Action.REFUSE,
    Action.REFUSE_AS_CANCELLED,
    Action.REPORT_ENDED,
    Action.REPORT_HUNG_UP,
}
"""Actions that tell the application of the end."""


def test_the_end_is_told_exactly_when_a_session_ends() -> None:
    for (_, happened), (after, action) in SESSION.items():
        assert (after is State.ENDED) == (action in FINAL), (happened, after, action)


def test_nothing_follows_the_end() -> None:
    assert all(before is not State.ENDED for before, _ in SESSION)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_every_state_can_reach_the_end(state: State) -> None:
    reached = {state}
    while True:
        more = {after for (before, _), (after, _) in SESSION.items() if before in reached} | reached
        if more == reached:
            break
        reached = more
    assert State.ENDED in reached


@pytest.mark.parametrize("state", [State.PREPARED, State.CALLING, State.PROCEEDING, State.INCOMING, State.ANSWERED])
def test_what_has_not_ended_can_be_hung_up(state: State) -> None:
    assert (state, Input.HANG_UP) in SESSION


def test_nobody_is_sent_bye_before_the_dialog_is_confirmed() -> None:
    before = {state for (state, _), (_, action) in SESSION.items() if action is Action.SEND_BYE}
    assert before == {State.ANSWERED, State.BYE_PENDING, State.ESTABLISHED}
    from_answered = {
        happened for (state, happened), (_, a) in SESSION.items() if state is State.ANSWERED and a is Action.SEND_BYE
    }
    assert from_answered == {Input.NO_ACK}


def test_an_invite_is_sent_once() -> None:
    assert [key for key, (_, action) in SESSION.items() if action is Action.SEND_INVITE] == [
        (State.PREPARED, Input.SEND)
    ]
