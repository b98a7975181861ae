import msgspec
import pytest

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Request, response_to
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.registrar import (
    Binding,
    Registered,
    RegistrarRules,
    address_of_record,
    check_register,
    register,
)

PEER = Peer(Transport.UDP, "198.51.100.7", 40000)
TCP = Peer(Transport.TCP, "192.0.2.5", 50001)
WS = Peer(Transport.WS, "192.0.2.5", 50001)
NOW = 1_000_000.0
DATE = ("Date", "Mon, 12 Jan 1970 13:46:40 GMT")


def message(*headers: tuple[str, str], call_id: str = "c1", cseq: int = 1, to: str = "<sip:1001@Demo>") -> Request:
    mandatory = [
        ("Via", "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1;rport"),
        ("To", to),
        ("From", "<sip:1001@demo>;tag=1"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
    ]
    return Request("REGISTER", "sip:demo", [*mandatory, *headers])


def bind(
    text: str, *headers: tuple[str, str], cseq: int = 1, call_id: str = "c1", current: tuple[Binding, ...] = ()
) -> Registered:
    return register(message(("Contact", text), *headers, cseq=cseq, call_id=call_id), current, peer=PEER, now=NOW)


def contacts(decided: Registered) -> list[str]:
    return [value for name, value in decided.headers if name == "Contact"]


def test_a_contact_is_bound_with_all_that_is_needed_to_reach_it() -> None:
    decided = bind(
        '"A" <sip:1001@10.0.0.5:5062;line=x>;q=0.5;expires=600;+sip.instance="<urn:uuid:1>";reg-id=1',
        ("Path", "<sip:edge;lr>, <sip:edge2;lr>"),
        ("User-Agent", "Phone 1"),
        ("Supported", "path"),
    )
    assert decided.status == 200
    (binding,) = decided.write
    assert binding == Binding(
        contact="sip:1001@10.0.0.5:5062;line=x",
        received=PEER,
        expires_at=NOW + 600,
        call_id="c1",
        cseq=1,
        q=0.5,
        instance="<urn:uuid:1>",
        path=("<sip:edge;lr>", "<sip:edge2;lr>"),
        user_agent="Phone 1",
    )
    assert decided.headers == (
        ("Contact", '<sip:1001@10.0.0.5:5062;line=x>;expires=600;q=0.5;+sip.instance="<urn:uuid:1>"'),
        ("Path", "<sip:edge;lr>"),
        ("Path", "<sip:edge2;lr>"),
        DATE,
    )
    answer = response_to(message(), decided.status, headers=decided.headers).serialize()
    assert b";expires=600" in answer


def test_binding_crosses_a_wire() -> None:
    (binding,) = bind("<sip:1001@10.0.0.5:5062>").write
    assert msgspec.json.decode(msgspec.json.encode(binding), type=Binding) == binding
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(binding), type=Binding) == binding


@pytest.mark.parametrize(
    ("text", "header", "lasts_s"),
    [
        ("<sip:a@b>", None, 3600),
        ("<sip:a@b>", "120", 120),
        ("<sip:a@b>;expires=90", "120", 90),
        ("<sip:a@b>;expires=soon", "120", 3600),
        ("<sip:a@b>;expires", "120", 3600),
        ("<sip:a@b>", "nonsense", 3600),
        ("<sip:a@b>;expires=280297596632815", None, 7200),
        ("<sip:a@b>", "1" + "0" * 100, 7200),
    ],
)
def test_how_long_a_binding_lasts(text: str, header: str | None, lasts_s: int) -> None:
    decided = bind(text, *([("Expires", header)] if header else []))
    assert decided.write[0].expires_at == NOW + lasts_s


def test_too_brief_says_what_is_not() -> None:
    decided = bind("<sip:a@b>;expires=59")
    assert (decided.status, decided.headers, decided.write) == (423, (("Min-Expires", "60"),), ())
    patient = register(
        message(("Contact", "<sip:a@b>;expires=3600")), (), peer=PEER, now=NOW, rules=RegistrarRules(min_expires_s=4000)
    )
    assert patient.status == 200  # RFC 3261 §10.3: an hour is never too brief


def test_query_lists_what_is_bound() -> None:
    current = bind("<sip:a@b>;q=0.1").write
    decided = register(message(), current, peer=PEER, now=NOW + 0.4)
    assert (decided.status, decided.write, decided.delete) == (200, (), ())
    assert decided.headers == (("Contact", "<sip:a@b>;expires=3600;q=0.1"), DATE)


def test_renewal_takes_the_place_of_the_old_binding() -> None:
    current = bind("<sip:a@b>").write
    decided = bind("<sip:%61@B>;expires=100", cseq=2, current=current)
    assert [each.contact for each in decided.write] == ["sip:%61@B"]
    assert decided.delete == current
    same = bind("<sip:a@b>;expires=100", cseq=2, current=current)
    assert (len(same.write), same.delete) == (1, ())
    assert len(contacts(same)) == 1


def test_zero_removes_one_and_leaves_the_others() -> None:
    current = bind("<sip:a@b>").write + bind("<sip:a@c>", call_id="c2").write
    decided = bind("<sip:a@b>;expires=0", cseq=2, current=current)
    assert (decided.write, decided.delete) == ((), current[:1])
    assert contacts(decided) == ["<sip:a@c>;expires=3600"]
    assert bind("<sip:nobody@b>;expires=0", cseq=3, current=current).delete == ()


def test_star_removes_all() -> None:
    current = bind("<sip:a@b>").write + bind("<sip:a@c>", call_id="c2").write
    decided = bind("*", ("Expires", "0"), cseq=2, current=current)
    assert (decided.status, decided.write, decided.delete, decided.headers) == (200, (), current, (DATE,))


@pytest.mark.parametrize(
    "headers",
    [
        [("Contact", "*")],
        [("Contact", "*"), ("Expires", "1")],
        [("Contact", "*"), ("Contact", "<sip:a@b>"), ("Expires", "0")],
        [("Contact", "*, <sip:a@b>"), ("Expires", "0")],
        [("Contact", "<sip:a@b")],
        [("Contact", "<name:John_Smith>")],
        [("Contact", "<tel:+4930>")],
        [("Contact", "sip:user@example.com?Route=%3Csip:sip.example.com%3E")],
        [("Contact", "<sip:a@b>;q=2")],
        [("Contact", "<sip:a@b>;q=nan")],
        [("Contact", "<sip:a@b>;q=x")],
        [("Contact", "<sip:a@b>"), ("Path", "nonsense")],
    ],
)
def test_malformed_registrations(headers: list[tuple[str, str]]) -> None:
    assert register(message(*headers), (), peer=PEER, now=NOW).status == 400


def test_older_than_what_is_bound_changes_nothing() -> None:
    current = bind("<sip:a@b>", cseq=5).write
    for headers in ([("Contact", "<sip:a@b>;expires=0")], [("Contact", "*"), ("Expires", "0")]):
        for cseq in (5, 4):
            decided = register(message(*headers, cseq=cseq), current, peer=PEER, now=NOW)
            assert (decided.status, decided.delete) == (500, ())
    assert bind("<sip:a@b>;expires=0", cseq=1, call_id="after-restart", current=current).delete == current


def test_a_phone_that_restarts_leaves_no_dead_contact() -> None:
    current = bind('<sip:a@10.0.0.5:5062>;+sip.instance="<urn:uuid:1>"').write
    decided = bind('<sip:a@10.0.0.5:6000>;+sip.instance="<urn:uuid:1>"', call_id="c2", current=current)
    assert decided.delete == current
    other = bind('<sip:a@10.0.0.5:6000>;+sip.instance="<urn:uuid:2>"', call_id="c2", current=current)
    assert other.delete == ()


def test_two_contacts_of_one_phone_in_one_request_are_both_kept() -> None:
    text = '<sip:a@h:1>;+sip.instance="<urn:uuid:1>", <sip:a@h:2;transport=tcp>;+sip.instance="<urn:uuid:1>"'
    assert [each.contact for each in bind(text).write] == ["sip:a@h:1", "sip:a@h:2;transport=tcp"]
    assert len(bind("<sip:a@h>;q=0.1, <sip:a@H>;q=0.2").write) == 1


def test_expired_bindings_are_swept() -> None:
    current = bind("<sip:a@b>;expires=60").write
    decided = register(message(("Contact", "<sip:a@c>"), cseq=2), current, peer=PEER, now=NOW + 60)
    assert decided.delete == current
    assert len(contacts(decided)) == 1


def test_the_oldest_contacts_give_way_above_the_limit() -> None:
    current: tuple[Binding, ...] = ()
    for port in range(5001, 5011):
        current += bind(f"<sip:a@h:{port}>;expires={port}", call_id=str(port), current=current).write
    decided = bind("<sip:a@h:6000>;expires=60", call_id="new", current=current)
    assert [each.contact for each in decided.delete] == ["sip:a@h:5001"]
    assert len(contacts(decided)) == 10
    many = ", ".join(f"<sip:a@h:{port}>" for port in range(1, 12))
    assert bind(many).status == 403


@pytest.mark.parametrize(
    ("contact", "received", "target"),
    [
        ("sip:a@198.51.100.7:5062", PEER, Peer(Transport.UDP, "198.51.100.7", 5062)),
        ("sip:a@198.51.100.7", PEER, Peer(Transport.UDP, "198.51.100.7", 5060)),
        ("sip:a@10.0.0.5:5062", PEER, PEER),
        ("sip:a@phone.local:5062", PEER, PEER),
        ("sip:a@0.0.0.0", PEER, PEER),
        (
            "sip:a@[2001:DB8::1]:5070",
            Peer(Transport.UDP, "2001:db8::1", 9),
            Peer(Transport.UDP, "2001:DB8::1", 5070),
        ),
        ("sip:a@df7jal23ls0d.invalid;transport=ws", WS, WS),
        ("sip:a@192.0.2.5:5060;transport=tcp", TCP, TCP),
        ("sip:a@192.0.2.5", TCP, TCP),
    ],
)
def test_target_is_where_the_phone_can_be_reached(contact: str, received: Peer, target: Peer) -> None:
    binding = Binding(contact=contact, received=received, expires_at=1, call_id="c", cseq=1)
    assert binding.target == target


def test_headers_in_a_contact_are_kept_with_it() -> None:
    """It is the binding's key; who rings it leaves them off (`calls.found`)."""
    (binding,) = bind("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>").write
    assert binding.contact == "sip:user@example.com?Route=%3Csip:sip.example.com%3E"


def test_address_of_record() -> None:
    assert address_of_record(message()).aor() == "sip:1001@demo"
    for to in ("isbn:2983792873", "<tel:+4930>", "<sip:demo>", "<sip:a@b"):
        with pytest.raises(ProtocolError) as caught:
            address_of_record(message(to=to))
        assert caught.value.status == 400


def test_malformed_registers_need_no_challenge() -> None:
    assert check_register(message(("Contact", "*"), ("Expires", "0"))) is None
    assert check_register(message(("Contact", "<sip:a@b>"))) is None
    for request in (message(("Contact", "<name:x>")), message(to="isbn:1"), message(("Path", "x y"))):
        fault = check_register(request)
        assert fault is not None
        assert (fault.status, fault.request) == (400, request)
