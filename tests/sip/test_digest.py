from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.sip.digest import Algorithm, AuthFields, Credentials, Ha1, Proof, compute_response, make_ha1
from ringbridge.sip.digest_client import Authenticator
from ringbridge.sip.digest_server import DigestServer, Verdict, read_credentials
from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.message import Request, Response, parse
from tests.sip import samples

REALM = "demo.example"
HA1 = make_ha1("1001", REALM, "secret")
KEY = b"0123456789abcdef"
MINE = Credentials("1001", "secret", realm=REALM)


def server(lifetime_s: float = 60.0) -> DigestServer:
    return DigestServer(key=KEY, nonce_lifetime_s=lifetime_s)


def challenged(headers: list[tuple[str, str]], status: int = 401) -> Response:
    return Response(status, "Unauthorized", headers)


def answered(authenticator: Authenticator, method: str = "REGISTER", uri: str = "sip:demo.example") -> AuthFields:
    proofs = [(name.removeprefix("Proxy-"), value) for name, value in authenticator.headers(method, uri, "cnonce-1")]
    fields = read_credentials(Request(method, uri, proofs), REALM)
    assert fields is not None
    return fields


# RFC 7616 §3.9.1, and the example of RFC 2617 §3.5 with and without qop
PAPER = Proof(
    "GET",
    "/dir/index.html",
    "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "auth",
    "00000001",
    "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        (Algorithm.MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm.SHA_256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_example(algorithm: Algorithm, response: str) -> None:
    ha1 = make_ha1("Mufasa", "http-auth@example.org", "Circle of Life")
    assert compute_response(algorithm, ha1.by(algorithm), PAPER) == response


def test_rfc_2617_example() -> None:
    ha1 = make_ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
    proof = Proof("GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "auth", "00000001", "0a4f113b")
    assert compute_response(Algorithm.MD5, ha1.md5, proof) == "6629fae49393a05397450978507c4ef1"
    old = replace(proof, qop="")
    assert compute_response(Algorithm.MD5, ha1.md5, old) == "670fd8c2df070c60b045671b8b24ff02"


def test_challenge_offers_both_hashes_the_best_first() -> None:
    first, second = server().challenge(REALM, 10.0)
    assert first[0] == second[0] == "WWW-Authenticate"
    best, other = AuthFields.parse(first[1]), AuthFields.parse(second[1])
    assert (best.algorithm, other.algorithm) == (Algorithm.SHA_256, Algorithm.MD5)
    assert best.get("qop") == "auth"
    assert best.get("nonce") == other.get("nonce")
    assert "stale" not in best.fields


@pytest.mark.parametrize("algorithms", [(Algorithm.SHA_256,), (Algorithm.MD5,), tuple(Algorithm)])
@pytest.mark.parametrize("known_by", ["password", "ha1"])
def test_client_and_server_agree(algorithms: tuple[Algorithm, ...], known_by: str) -> None:
    registrar = DigestServer(key=KEY, nonce_lifetime_s=60, algorithms=algorithms)
    credentials = MINE if known_by == "password" else Credentials("1001", realm=REALM, ha1=HA1)
    client = Authenticator(credentials)
    assert client.take(challenged(registrar.challenge(REALM, 0.0)), "192.0.2.1")
    fields = answered(client)
    assert fields.algorithm == algorithms[0]
    assert fields.text("username") == "1001"
    assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict.OK
    again = answered(client)
    assert again.get("nc") == "00000002"
    assert registrar.check(again, HA1, "REGISTER", REALM, 2.0) is Verdict.OK


def test_a_replay_is_stale_and_counts_may_come_out_of_order() -> None:
    registrar = server()
    client = Authenticator(MINE)
    client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    one, two, three, four = (answered(client) for _ in range(4))
    for fields, verdict in [
        (one, "ok"),
        (three, "ok"),
        (three, "stale"),
        (two, "ok"),
        (two, "stale"),
        (one, "stale"),
        (four, "ok"),
    ]:
        assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict(verdict)


def test_counts_far_behind_are_refused() -> None:
    registrar = server()
    client = Authenticator(MINE)
    client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    answers = [answered(client) for _ in range(200)]
    assert registrar.check(answers[199], HA1, "REGISTER", REALM, 1.0) is Verdict.OK
    assert registrar.check(answers[140], HA1, "REGISTER", REALM, 1.0) is Verdict.OK
    assert registrar.check(answers[140], HA1, "REGISTER", REALM, 1.0) is Verdict.STALE
    assert registrar.check(answers[10], HA1, "REGISTER", REALM, 1.0) is Verdict.STALE


def test_an_old_nonce_is_stale_and_the_client_goes_on() -> None:
    registrar = server(lifetime_s=60)
    client = Authenticator(MINE)
    assert client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    assert registrar.check(answered(client), HA1, "REGISTER", REALM, 60.0) is Verdict.OK
    assert registrar.check(answered(client), HA1, "REGISTER", REALM, 60.1) is Verdict.STALE
    assert client.take(challenged(registrar.challenge(REALM, 61.0, stale=True)), "h")
    assert registrar.check(answered(client), HA1, "REGISTER", REALM, 61.0) is Verdict.OK


def test_nonces_of_another_node_or_realm_are_stale() -> None:
    other = DigestServer(key=b"another-key-of-16", nonce_lifetime_s=60)
    client = Authenticator(MINE)
    client.take(challenged(other.challenge(REALM, 0.0)), "h")
    assert server().check(answered(client), HA1, "REGISTER", REALM, 1.0) is Verdict.STALE
    mixed = Authenticator(replace(MINE, realm=None, host="h"))
    nonce = server().challenge("other.example", 0.0)[1][1].replace("other.example", REALM)
    mixed.take(challenged([("WWW-Authenticate", nonce)]), "h")
    assert server().check(answered(mixed), HA1, "REGISTER", REALM, 1.0) is Verdict.STALE


def test_wrong_password_and_unknown_user_look_the_same() -> None:
    registrar = server()
    client = Authenticator(replace(MINE, password="wrong"))
    assert client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    fields = answered(client)
    assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict.WRONG
    assert registrar.check(fields, None, "REGISTER", REALM, 1.0) is Verdict.WRONG
    assert registrar.check(fields, Ha1(), "REGISTER", REALM, 1.0) is Verdict.WRONG
    # the same realm asks again, and it is not for a stale nonce: giving in would never end
    assert not client.take(challenged(registrar.challenge(REALM, 1.0)), "h")


def test_another_method_does_not_fit() -> None:
    registrar = server()
    client = Authenticator(MINE)
    client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    assert registrar.check(answered(client, "REGISTER"), HA1, "INVITE", REALM, 1.0) is Verdict.WRONG


def test_a_user_with_only_an_md5_secret_cannot_be_reached_by_the_other_hash() -> None:
    registrar = server()
    client = Authenticator(MINE)
    client.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    assert registrar.check(answered(client), Ha1(md5=HA1.md5), "REGISTER", REALM, 1.0) is Verdict.WRONG
    old = Authenticator(Credentials("1001", realm=REALM, ha1=Ha1(md5=HA1.md5)))
    assert old.take(challenged(registrar.challenge(REALM, 0.0)), "h")
    fields = answered(old)
    assert fields.algorithm is Algorithm.MD5
    assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict.OK


def test_without_qop_a_nonce_serves_once() -> None:
    registrar = server()
    asked = registrar.challenge(REALM, 0.0)[1][1].replace(', qop="auth"', "")
    client = Authenticator(MINE)
    assert client.take(challenged([("WWW-Authenticate", asked)]), "h")
    fields = answered(client)
    assert "nc" not in fields.fields
    assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict.OK
    assert registrar.check(fields, HA1, "REGISTER", REALM, 1.0) is Verdict.STALE


@pytest.mark.parametrize(
    "line",
    [
        "NoOneKnowsThisScheme opaque-data=here",
        "Basic QWxhZGRpbg==",
        'Digest username="1001", realm="other", nonce="x", uri="sip:a", response="x"',
        'Digest username="1001", realm="demo.example", algorithm=SHA-512-256, nonce="x", uri="sip:a", response="x"',
        'Digest username="1001", realm="demo.example',
        "Digest",
        "",
    ],
)
def test_other_credentials_are_as_none(line: str) -> None:
    request = Request("REGISTER", "sip:demo.example", [("Authorization", line)])
    assert read_credentials(request, REALM) is None
    assert server().check(None, HA1, "REGISTER", REALM, 0.0) is Verdict.MISSING


def test_auth_int_is_not_taken() -> None:
    fields = AuthFields.parse(
        'Digest username="1001", realm="demo.example", nonce="x", uri="sip:a", response="x", qop=auth-int'
    )
    assert server().check(fields, HA1, "REGISTER", REALM, 0.0) is Verdict.MISSING


@pytest.mark.parametrize("nonce", ["", "x", "1.2.3", "²..", "9" * 500, "1." + "0" * 60, "....", "\udcff"])
def test_odd_nonces_are_never_ours(nonce: str) -> None:
    proof = Proof("REGISTER", "sip:a", nonce.encode("utf-8", "replace").decode(), "auth", "00000001", "c")
    response = compute_response(Algorithm.MD5, HA1.md5, proof)
    fields = AuthFields(
        "digest",
        {"username": "1001", "realm": REALM, "nonce": proof.nonce, "uri": "sip:a", "response": response, "qop": "auth",
         "nc": "00000001", "cnonce": "c"},
    )  # fmt: skip
    assert server().check(fields, HA1, "REGISTER", REALM, 0.0) is Verdict.STALE


@pytest.mark.parametrize("nc", ["", "0", "00000000", "0000000g", "000000001", "²²²²²²²²"])
def test_odd_counts_are_wrong(nc: str) -> None:
    registrar = server()
    nonce = AuthFields.parse(registrar.challenge(REALM, 0.0)[1][1]).get("nonce")
    proof = Proof("REGISTER", "sip:a", nonce, "auth", nc, "c")
    fields = AuthFields(
        "digest",
        {"username": "1001", "realm": REALM, "nonce": nonce, "uri": "sip:a", "qop": "auth", "nc": nc, "cnonce": "c",
         "response": compute_response(Algorithm.MD5, HA1.md5, proof)},
    )  # fmt: skip
    assert registrar.check(fields, HA1, "REGISTER", REALM, 0.0) is Verdict.WRONG


@given(line=st.text(max_size=80))
def test_credentials_from_outside_never_break_the_server(line: str) -> None:
    try:
        fields = AuthFields.parse("Digest realm=demo.example, " + line)
    except ProtocolError:
        return
    assert server().check(fields, HA1, "REGISTER", REALM, 0.0) in (Verdict.WRONG, Verdict.MISSING)


def test_memory_of_used_nonces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringbridge.sip.digest_server._MOST_NONCES", 3)
    registrar = server()
    answers = []
    for second in range(5):
        client = Authenticator(MINE)
        client.take(challenged(registrar.challenge(REALM, float(second))), "h")
        answers.append(answered(client))
        assert registrar.check(answers[-1], HA1, "REGISTER", REALM, float(second)) is Verdict.OK
    assert len(registrar._windows) == 3
    # forgotten, and yet not to be used again
    assert registrar.check(answers[0], HA1, "REGISTER", REALM, 5.0) is Verdict.STALE
    assert registrar.check(answers[4], HA1, "REGISTER", REALM, 500.0) is Verdict.STALE
    assert len(registrar._windows) == 0


# The client's side


def test_strongest_hash_is_answered_whatever_its_place() -> None:
    response = parse(samples.CHALLENGED)
    assert isinstance(response, Response)
    client = Authenticator(Credentials("ann", "pw", realm="example.com"))
    assert client.take(response, "h")
    ((name, value),) = client.headers("INVITE", "sip:b@example.com", "c0ffee00")
    assert name == "Proxy-Authorization"
    fields = AuthFields.parse(value)
    assert fields.algorithm is Algorithm.SHA_256
    assert fields.get("nonce") == "7"
    assert fields.get("opaque") == 'a\\"b'
    assert fields.get("uri") == "sip:b@example.com"


def test_only_the_configured_realm_or_host_is_answered() -> None:
    response = challenged(server().challenge(REALM, 0.0))
    assert Authenticator(Credentials("a", "b", realm=REALM)).take(response, "anywhere")
    assert not Authenticator(Credentials("a", "b", realm="other")).take(response, "anywhere")
    assert Authenticator(Credentials("a", "b", host="Sip.Carrier.Example")).take(response, "sip.carrier.example")
    assert not Authenticator(Credentials("a", "b", host="sip.carrier.example")).take(response, "192.0.2.66")
    assert not Authenticator(Credentials("a", "b")).take(response, "192.0.2.66")
    assert not Authenticator(Credentials("a", "b", realm="other", host="h")).take(response, "h")


def test_two_proxies_are_both_answered() -> None:
    client = Authenticator(Credentials("a", "b", host="h"))
    one = [("Proxy-Authenticate", value) for _, value in server().challenge("one", 0.0)[:1]]
    two = server().challenge("two", 0.0)[:1]
    assert client.take(challenged(one, 407), "h")
    assert client.take(challenged(two), "h")
    assert [name for name, _ in client.headers("INVITE", "sip:x", "c")] == ["Proxy-Authorization", "Authorization"]


@pytest.mark.parametrize(
    "line",
    [
        'Digest realm="demo.example"',
        'Digest nonce="x"',
        'Digest realm="demo.example", nonce="x", algorithm=AKAv1-MD5',
        'Digest realm="demo.example", nonce="x", qop="auth-int"',
        'Basic realm="demo.example"',
        'Digest realm="demo.example", nonce="x',
        "",
    ],
)
def test_challenges_that_cannot_be_answered(line: str) -> None:
    client = Authenticator(MINE)
    assert not client.take(challenged([("WWW-Authenticate", line)]), "h")
    assert client.headers("REGISTER", "sip:a", "c") == []


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(MINE)
    assert HA1.md5 not in repr(HA1)
    assert HA1.sha256 not in repr(Credentials("1001", realm=REALM, ha1=HA1))


@pytest.mark.parametrize(("username", "realm"), [("a:b", "r"), ('a"', "r"), ("a\r\n", "r"), ("a", 'r"'), ("a", "r\\")])
def test_names_that_a_secret_cannot_be_made_of(username: str, realm: str) -> None:
    with pytest.raises(UnsafeHeader, match="digest"):
        make_ha1(username, realm, "x")


def test_server_needs_a_key_and_a_lifetime() -> None:
    with pytest.raises(ValueError, match="key"):
        DigestServer(key=b"short", nonce_lifetime_s=1)
    with pytest.raises(ValueError, match="lifetime"):
        DigestServer(key=KEY, nonce_lifetime_s=0)
