import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.uri import NameAddress, Uri

PRINTABLE = st.text(min_size=1, max_size=30)
CLEAN = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


@given(user=PRINTABLE, password=st.none() | PRINTABLE, name=PRINTABLE, value=st.none() | PRINTABLE, header=PRINTABLE)
def test_any_text_survives_a_uri(user: str, password: str | None, name: str, value: str | None, header: str) -> None:
    uri = Uri("sip", user, "example.com", 5070, {name.lower(): value}, ((header, header),), password)
    sent = uri.serialize()
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert Uri.parse(sent) == uri


@given(display=CLEAN, value=CLEAN.filter(bool))
def test_any_display_name_and_parameter_survive_an_address(display: str, value: str) -> None:
    address = NameAddress(display, "sip:a@example.com", {"x": value})
    assert NameAddress.parse(address.serialize()) == address


@given(display=PRINTABLE, value=PRINTABLE, uri=PRINTABLE)
def test_no_address_leaves_with_a_control_character_or_outside_its_brackets(display: str, value: str, uri: str) -> None:
    try:
        sent = NameAddress(display, "sip:" + uri, {"x": value}).serialize()
    except UnsafeHeader:
        return
    assert not any(char < " " or char == "\x7f" for char in sent)
    assert NameAddress.parse(sent).uri == "sip:" + uri


def test_trailing_backslash_and_quotes_are_escaped() -> None:
    sent = NameAddress('a "b" \\', "sip:a@b").serialize()
    assert sent == r'"a \"b\" \\" <sip:a@b>'
    assert NameAddress.parse(sent).display == 'a "b" \\'


@pytest.mark.parametrize(
    ("text", "scheme", "user", "host", "port"),
    [
        ("sip:1001@demo", "sip", "1001", "demo", None),
        ("SIPS:1001@[2001:db8::1]:5061", "sips", "1001", "[2001:db8::1]", 5061),
        ("sip:example.com", "sip", None, "example.com", None),
        ("sip:*21#@pbx_1.local", "sip", "*21#", "pbx_1.local", None),
        ("sip:a;b?c@example.com", "sip", "a;b?c", "example.com", None),
        ("tel:+49-30-123", "tel", "+49-30-123", "", None),
    ],
)
def test_uris_that_phones_send(text: str, scheme: str, user: str | None, host: str, port: int | None) -> None:
    uri = Uri.parse(text)
    assert (uri.scheme, uri.user, uri.host, uri.port) == (scheme, user, host, port)
    assert Uri.parse(uri.serialize()) == uri


@pytest.mark.parametrize(
    "text",
    [
        "sip:", "sip:@", "sip:@host", "sip:a@", "sip:a@b@c", "sip:a b@c", "sip:a@b c", "sip:a@b:0", "sip:a@b:65536",
        "sip:a@b:x", "sip:a@b;;", "sip:a@b;a;a", "sip:a%4@b", "sip:a%ff@b", "<sip:a@b>", "1001", "", "sip:a@b\r\n",
        "tel:",        "tel:abc-xyz", "tel:()", "sip:a@b>", 'sip:a@b;"', "sip:[::1", "sip:a@[g]", "sip:a\x00@b",
    ],
)  # fmt: skip
def test_malformed_uris_are_a_400(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", ["http://example.com", "urn:service:sos", "nobodyKnowsThisScheme:opaque"])
def test_other_schemes_are_a_416(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status == 416


@pytest.mark.parametrize(
    "uri",
    [
        Uri("sip", "a", "b\r\nX: y"),
        Uri("sip", "a", "b c"),
        Uri("sip", "a", ""),
        Uri("http", "a", "b"),
        Uri("tel", "1\r\n2", ""),
        Uri("tel", None, ""),
    ],
)
def test_what_cannot_be_escaped_is_refused(uri: Uri) -> None:
    with pytest.raises(UnsafeHeader, match="URI"):
        uri.serialize()


# RFC 3261 §19.1.4's own examples
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ],
)  # fmt: skip
def test_equivalent_uris(one: str, other: str) -> None:
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ],
)
def test_different_uris(one: str, other: str) -> None:
    assert not Uri.parse(one).equivalent(Uri.parse(other))
    assert not Uri.parse(other).equivalent(Uri.parse(one))


def test_address_of_record_drops_all_but_user_and_host() -> None:
    assert Uri.parse("sip:%31001:pw@Demo.Example:5070;transport=tcp?a=b").aor() == "sip:1001@demo.example"


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("<sip:a@b>", "", "sip:a@b", {}),
        ("Ann Bee <sip:a@b>;tag=1", "Ann Bee", "sip:a@b", {"tag": "1"}),
        ('"a <sip:x@y>, \\"b\\"" <sip:a@b>', 'a <sip:x@y>, "b"', "sip:a@b", {}),
        ("sip:a@b;tag=x", "", "sip:a@b", {"tag": "x"}),
        ('<sip:a@b;lr>;q=0.5;x="1;2,3"', "", "sip:a@b;lr", {"q": "0.5", "x": "1;2,3"}),
        ("<sip:a@b> ; Tag = 1 ; z", "", "sip:a@b", {"tag": "1", "z": None}),
    ],
)
def test_addresses(text: str, display: str, uri: str, params: dict[str, str | None]) -> None:
    assert NameAddress.parse(text) == NameAddress(display, uri, params)


@pytest.mark.parametrize(
    "text",
    ["", "a", "<sip:a@b", "sip:a@b>", '"a <sip:a@b>', "a, b <sip:a@b>", "<sip:a@b>x", "<sip:a@b>;", "<sip:a@b>;;a",
     "<sip:a@b>;a=1;a=2", "<sip:a@b>;a=", "<sip:a@b>;a b", "< sip:a@b>", "<sip:a @b>", "<>", "sip:a@b?x=y", "sip:a,b@c",
     '<sip:a@b>;x="1', '<sip:a@b>;x="1"2'],
)  # fmt: skip
def test_malformed_addresses_are_a_400(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        NameAddress.parse(text)
    assert caught.value.status == 400


def test_an_ipv6_host_gets_its_brackets() -> None:
    assert Uri("sip", "1001", "2001:db8::1", 5070).serialize() == "sip:1001@[2001:db8::1]:5070"
    assert Uri("sip", "1001", "[2001:db8::1]").serialize() == "sip:1001@[2001:db8::1]"
    with pytest.raises(UnsafeHeader):
        Uri("sip", "1001", "a.example:5070").serialize()
