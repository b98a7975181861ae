"""What the request history keeps and shows: no secret anywhere, numbers masked down to their last two digits."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from ringbridge.model.masking import HIDDEN, keep_answered, keep_asked, keep_query, mask_numbers, masked_json

KEY = "nsu_Yt5cXo2eQ8aLf0Gh7jKp3mRs6vWx9zBd1nTq4uEy5iOcA2rJ1c8f0a9d"


def asked(text: str, size: int | None = None) -> tuple[str, str]:
    kept = keep_asked(text.encode(), len(text.encode()) if size is None else size)
    return kept.state, kept.text.decode()


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"password": "horse"}, {"password": HIDDEN}),
        ({"device-sip-registration-password": "a-long-secret"}, {"device-sip-registration-password": HIDDEN}),
        ({"current-password": "", "n": 1}, {"current-password": HIDDEN, "n": 1}),
        ({"voicemail-login-pin": 1234}, {"voicemail-login-pin": HIDDEN}),
        ({"webhook-secret": "whsec_AAAA"}, {"webhook-secret": HIDDEN}),
        ({"key": KEY, "key-id": "Yt5cXo2eQ8aL"}, {"key": HIDDEN, "key-id": "Yt5cXo2eQ8aL"}),
        ([{"file-access-url": "http://pbx/x.wav?seal=1.ab"}], [{"file-access-url": HIDDEN}]),
        ({"backup-codes": ["aa", "bb"]}, {"backup-codes": HIDDEN}),
        ({"note": "pin:1"}, {"note": f"pin: {HIDDEN}"}),
        ({"uri": "otpauth://totp/x?secret=JBSW"}, {"uri": HIDDEN}),
        ({"note": f"my key is {KEY}!"}, {"note": f"my key is {HIDDEN}!"}),
        ({"call-term-added-sip-header": "X-Token: 12"}, {"call-term-added-sip-header": f"X-Token: {HIDDEN}"}),
        (
            {"errors": [{"field": "password", "found": "horse"}, {"field": "user", "found": "1"}]},
            {"errors": [{"field": "password", "found": HIDDEN}, {"field": "user", "found": "1"}]},
        ),
        ({"domains": [{"devices": [{"a": {"secret": "x"}}]}]}, {"domains": [{"devices": [{"a": {"secret": HIDDEN}}]}]}),
    ],
)
def test_secrets_are_known_by_their_name_or_their_look(body: object, kept: object) -> None:
    state, text = asked(json.dumps(body))
    assert (state, json.loads(text)) == ("redacted", kept)
    answer = keep_answered(json.dumps(body).encode(), len(json.dumps(body)), tells_secrets=True)
    assert (answer.state, json.loads(answer.text)) == ("redacted", kept)


@pytest.mark.parametrize(
    "body",
    [
        '{"call-id": "a", "call-term-user": "1002"}',
        '{ "b" : 2,"a":1.50 }',
        '{"key": ["demo", "1001"]}',
        "[1, 2]",
        "no",
        '{"language-token": "en_US"}',
    ],
)
def test_what_holds_no_secret_is_kept_to_the_byte(body: str) -> None:
    assert asked(body) == ("whole", body)


@pytest.mark.parametrize("text", ["Basic User", "Basic User, 2 phones", "a Basic plan for 1001", "Basic"])
def test_a_plain_word_after_basic_is_no_credential(text: str) -> None:
    body = json.dumps({"user-scope": text})
    assert asked(body) == ("whole", body)
    assert keep_query(f"scope={quote(text)}".encode()) == f"scope={quote(text)}"


@pytest.mark.parametrize("text", ["Basic YWRhOmhvcnNl", "Basic dTpwdw==", "Basic abcd/w==", "Basic  eDp5"])
def test_credentials_after_basic_are_hidden(text: str) -> None:
    assert asked(json.dumps({"note": f"with {text} in it"})) == (
        "redacted",
        json.dumps({"note": f"with {HIDDEN}"}, separators=(",", ":")),
    )


def test_a_name_with_escapes_or_told_twice_hides_nothing() -> None:
    assert "horse" not in asked('{"pass\\u0077ord": "horse"}')[1]
    assert "horse" not in asked('{"password": "horse", "password": ""}')[1]
    assert "horse" not in asked('{"password": "horse", "password": null}')[1]
    assert asked('{"a": {"password": "horse"}, "a": 1}') == ("redacted", '{"a":1}')
    assert asked('{"auth-name": "a", "n": 1}') == ("whole", '{"auth-name": "a", "n": 1}')


@pytest.mark.parametrize("body", ["{'password': 'horse'}", '{"p\\u0061ss', f"so {KEY}", '{"pin": 12,}'])
def test_what_cannot_be_read_and_may_hold_a_secret_is_not_kept_at_all(body: str) -> None:
    assert asked(body) == ("hidden", "")
    assert asked('{"call-id": "a",}') == ("whole", '{"call-id": "a",}')


def test_a_long_body_is_kept_in_its_beginning() -> None:
    assert asked('{"a": "', size=5000) == ("cut", '{"a": "')
    assert asked('{"password": "ho', size=5000) == ("hidden", "")
    assert asked("", size=0) == ("none", "")


def test_an_answer_that_is_cut_off_anywhere_holds_no_secret() -> None:
    whole = json.dumps([{"user": "1001", "voicemail-login-pin": "9421", "backup-codes": ["c-1", "c-2"], "key": KEY}])
    for length in range(1, len(whole)):
        text = keep_answered(whole[:length].encode(), len(whole), tells_secrets=True).text.decode()
        assert all(secret not in text for secret in ("942", "c-1", "Yt5cX")), text


def test_a_query_is_kept_without_its_secrets() -> None:
    assert keep_query(b"start=1&limit=2") == "start=1&limit=2"
    assert keep_query(b"access_token=abc&path=%2Fa") == "access_token=%5Bhidden%5D&path=%2Fa"
    assert keep_query(b"pass%77ord=horse") == "password=%5Bhidden%5D"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+4570102030", "********30"),
        ("call +45 70 10-20 30 now", "call ********30 now"),
        ("(070) 1020-3040", "(*********40"),
        ("sip:4570102030@demo", "sip:********30@demo"),
        ("/ns-api/v2/domains/demo/phonenumbers/4570102030", "/ns-api/v2/domains/demo/phonenumbers/********30"),
        ("user 1001 of 123456", "user 1001 of 123456"),
        ("2026-11-25T10:00:00+00:00", "2026-11-25T10:00:00+00:00"),
        ("2026-11-25 10:00:00 70102030", "2026-11-25 10:00:00 ******30"),
        ("192.168.100.200", "192.168.100.200"),
    ],
)
def test_numbers_are_masked_and_dates_extensions_and_addresses_are_not(text: str, masked: str) -> None:
    assert mask_numbers(text) == masked


def test_a_number_in_json_is_masked_however_it_is_written() -> None:
    numbers = masked_json(b'{"a": 4570102030, "b": [1.5, true, -45701020], "4570102030": null}')
    assert json.loads(numbers) == {"a": "********30", "b": [1.5, True, "-******20"], "********30": None}
    text = masked_json(b'{"a": 45701020, "b": "\\u0034570102030", "c": "1001"}')
    assert "70102" not in text
    assert '"c":"1001"' in text
    assert "5701020" not in masked_json(b'{"cut": "\\u0034570102030')
