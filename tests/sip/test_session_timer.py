"""What two sides agree on (RFC 4028)."""

from __future__ import annotations

import pytest

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Request, Response
from ringbridge.sip.session_timer import (
    SessionTimer,
    TooSmall,
    agree_as_uac,
    agree_as_uas,
    answer_headers,
    read_min_se,
)


def asked(value: str, *, supported: bool = True) -> Request:
    headers = [("Session-Expires", value)]
    if supported:
        headers.append(("Supported", "timer"))
    return Request("INVITE", "sip:a@b", headers)


@pytest.mark.parametrize(
    ("request_", "timer"),
    [
        (asked("1800"), SessionTimer(1800, we_refresh=False)),
        (asked("1800;refresher=uac"), SessionTimer(1800, we_refresh=False)),
        (asked("1800 ; refresher=UAS"), SessionTimer(1800, we_refresh=True)),
        (asked("1800", supported=False), SessionTimer(1800, we_refresh=True)),
        (asked("30", supported=False), SessionTimer(90, we_refresh=True)),
        (Request("INVITE", "sip:a@b"), None),
    ],
)
def test_called_side_agrees(request_: Request, timer: SessionTimer | None) -> None:
    assert agree_as_uas(request_, min_se_s=90) == timer


def test_called_side_refuses_what_is_too_short() -> None:
    with pytest.raises(TooSmall):
        agree_as_uas(asked("89"), min_se_s=90)


@pytest.mark.parametrize("value", ["", "soon", "-5", '1800;refresher="', "1800;;"])
def test_unreadable_session_expires_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError):
        agree_as_uas(asked(value), min_se_s=90)


@pytest.mark.parametrize(
    ("value", "timer"),
    [
        ("1800;refresher=uac", SessionTimer(1800, we_refresh=True)),
        ("1800;refresher=uas", SessionTimer(1800, we_refresh=False)),
        ("1800", SessionTimer(1800, we_refresh=True)),
        ("1;refresher=uac", SessionTimer(90, we_refresh=True)),
        ("0", None),
        ("rubbish", None),
    ],
)
def test_calling_side_takes_what_was_answered(value: str, timer: SessionTimer | None) -> None:
    assert agree_as_uac(Response(200, "OK", [("Session-Expires", value)])) == timer


def test_no_timer_is_no_headers() -> None:
    assert agree_as_uac(Response(200, "OK")) is None
    assert answer_headers(None) == ()


def test_min_se_is_never_below_90() -> None:
    assert read_min_se(Response(422, "x", [("Min-SE", "10")])) == 90
    assert read_min_se(Response(422, "x", [("Min-SE", "300;x=y")])) == 300
    assert read_min_se(Response(422, "x")) == 90


@pytest.mark.parametrize(("seconds", "refresh", "expire"), [(90, 45, 60), (1800, 900, 1768)])
def test_times_follow_from_the_interval(seconds: int, refresh: float, expire: float) -> None:
    timer = SessionTimer(seconds, we_refresh=True)
    assert (timer.refresh_after_s(), timer.expire_after_s()) == (refresh, expire)
