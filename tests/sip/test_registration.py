"""Keeping a binding at a registrar (RFC 3261 §10.2)."""

from __future__ import annotations

from ringbridge.sip.digest import Credentials
from ringbridge.sip.message import Request
from ringbridge.sip.registration import Registration
from ringbridge.sip.session_events import RegistrationResult
from ringbridge.sip.session_orders import RegisterOrder
from tests.sip.rig import PHONE, PHONE_TCP, Rig

CREDENTIALS = Credentials("1001", "secret", realm="demo")
ORDER = RegisterOrder(PHONE, "sip:demo", "sip:1001@demo", "1001", credentials=CREDENTIALS, expires_s=600)
CHALLENGE = (("WWW-Authenticate", 'Digest realm="demo", nonce="n1", qop="auth", algorithm=SHA-256'),)


def registering(rig: Rig, order: RegisterOrder = ORDER) -> tuple[Registration, Request]:
    registration = rig.endpoint.register(order, rig.now)
    return registration, rig.sent_request("REGISTER")


def grant(rig: Rig, register: Request, seconds: int) -> None:
    contact = (register.first("Contact") or "") + f";expires={seconds}"
    rig.reply(register, 200, headers=(("Contact", f"<sip:other@192.0.2.9>;expires=9, {contact}"),))


def test_binding_is_registered_with_digest_and_refreshed_before_it_runs_out() -> None:
    rig = Rig()
    registration, register = registering(rig)
    assert register.uri == "sip:demo"
    assert register.to.uri == register.from_.uri == "sip:1001@demo"
    assert register.contacts[0].uri == "sip:1001@192.0.2.1:5060"
    assert register.expires == 600
    rig.reply(register, 401, headers=CHALLENGE)
    again = rig.sent_request("REGISTER")
    assert (again.call_id, again.cseq.number) == (register.call_id, 2)
    assert 'username="1001"' in (again.first("Authorization") or "")
    grant(rig, again, 300)
    result = rig.event(RegistrationResult)
    assert (result.registration, result.status, result.expires_s) == (registration, 200, 300)
    assert result.contact == "sip:1001@192.0.2.1:5060"
    assert registration.registered
    rig.wait(269)
    assert rig.sent() == []
    rig.wait(1.1)
    refresh = rig.sent_request("REGISTER")
    assert (refresh.call_id, refresh.cseq.number) == (register.call_id, 3)
    assert "nc=00000002" in (refresh.first("Authorization") or "")
    grant(rig, refresh, 40)
    rig.event(RegistrationResult)
    rig.wait(30.1)
    rig.sent_request("REGISTER")


def test_unregistering_removes_the_binding_and_everything_kept_for_it() -> None:
    rig = Rig()
    registration, register = registering(rig)
    grant(rig, register, 600)
    rig.event(RegistrationResult)
    rig.endpoint.unregister(registration, rig.now)
    rig.endpoint.unregister(registration, rig.now)
    removal = rig.sent_request("REGISTER")
    assert removal.expires == 0
    rig.reply(removal, 200)
    result = rig.event(RegistrationResult)
    assert (result.status, result.expires_s) == (200, 0)
    assert not registration.registered
    assert rig.gone()


def test_refused_registration_is_tried_again_ever_later() -> None:
    rig = Rig()
    _, register = registering(rig)
    waits = []
    for _ in range(4):
        rig.reply(register, 403)
        assert rig.event(RegistrationResult).status == 403
        before = rig.now
        while not (sent := rig.sent()):
            rig.wait(1)
        waits.append(round(rig.now - before))
        [message] = sent
        assert isinstance(message, Request)
        register = message
    assert waits == [5, 10, 20, 40]


def test_registrar_that_is_away_is_tried_again() -> None:
    rig = Rig()
    registering(rig)
    rig.endpoint.peer_failed(PHONE, rig.now)
    assert rig.event(RegistrationResult).status == 503
    rig.wait(5.1)
    register = rig.sent_request("REGISTER")
    grant(rig, register, 600)
    assert rig.event(RegistrationResult).status == 200


def test_retry_after_is_heeded() -> None:
    rig = Rig()
    _, register = registering(rig)
    rig.reply(register, 503, headers=(("Retry-After", "60"),))
    assert rig.event(RegistrationResult).retry_after_s == 60
    rig.wait(59)
    assert rig.sent() == []
    rig.wait(1.1)
    rig.sent_request("REGISTER")


def test_interval_too_brief_is_asked_for_longer() -> None:
    rig = Rig()
    _, register = registering(rig)
    rig.reply(register, 423, headers=(("Min-Expires", "1800"),))
    again = rig.sent_request("REGISTER")
    assert again.expires == 1800
    rig.reply(again, 423, headers=(("Min-Expires", "1800"),))
    assert rig.event(RegistrationResult).status == 423


def test_wrong_password_is_told() -> None:
    rig = Rig()
    _, register = registering(rig)
    rig.reply(register, 401, headers=CHALLENGE)
    rig.reply(rig.sent_request("REGISTER"), 401, headers=CHALLENGE)
    assert rig.event(RegistrationResult).status == 401
    assert rig.sent() == []


def test_binding_over_tcp_names_tcp() -> None:
    rig = Rig()
    order = RegisterOrder(PHONE_TCP, "sip:demo", "sip:1001@demo", "1001")
    _, register = registering(rig, order)
    assert register.contacts[0].uri == "sip:1001@192.0.2.1:5062;transport=tcp"
    assert register.via.transport == "TCP"


def test_expires_header_counts_where_the_contact_names_none() -> None:
    rig = Rig()
    _, register = registering(rig)
    rig.reply(register, 200, headers=(("Expires", "120"),))
    assert rig.event(RegistrationResult).expires_s == 120
