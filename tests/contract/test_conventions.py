"""Contract section 1: conventions."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.wire import BASE, PASSWORD, Json, Server, Tenant, answered, call_body, domain_body, faulted, new_id
from tests.contract.wire import user_body as user

ACCEPTED = {"code": 202, "message": "Accepted"}


def fresh(name: str = "") -> str:
    """Return a short name of its own, that can name a user too."""
    return name + new_id()[-10:]


def creates(tenant: Tenant) -> dict[str, tuple[str, dict[str, Json], str]]:
    """Return each create that can be synchronous: path, body, and the path of what it makes."""
    name = fresh()
    rule = f"sip:77{name}@*"
    users = f"{tenant.path}/users"
    rules = f"{tenant.path}/dialplans/{tenant.domain}/dialrules"
    number = "1202" + str(int(name, 16))[-7:].rjust(7, "5")
    return {
        "domain": ("/domains", domain_body(f"{name}.example"), f"/domains/{name}.example"),
        "user": (users, user(name), f"{users}/{name}"),
        "device": (f"{users}/1000/devices", {"device": f"1000{name}"}, f"{users}/1000/devices/1000{name}"),
        "dial rule": (
            rules,
            {"dail-rule-matching-to-uri": rule, "dial-rule-translation-destination-user": "1001"},
            f"{rules}/{{dialrule}}",
        ),
        "phone number": (
            f"{tenant.path}/phonenumbers",
            {"phonenumber": number, "dial-rule-translation-destination-user": "1001"},
            f"{tenant.path}/phonenumbers/{number}",
        ),
        "answer rule": (
            f"{users}/1001/answerrules",
            {"time-frame": f"t{name}", "enabled": "yes", "is-active": True},
            f"{users}/1001/answerrules/t{name}",
        ),
        "event subscription": (
            f"{tenant.path}/subscriptions",
            {"model": "call", "post-url": "https://hooks.example/calls"},
            f"{tenant.path}/subscriptions/{{id}}",
        ),
    }


CREATES = ("domain", "user", "device", "dial rule", "phone number", "answer rule", "event subscription")


def test_base_path(server: Server, api: httpx.Client) -> None:
    """“Base path `/ns-api/v2`.”"""
    assert api.base_url.path.rstrip("/") == BASE
    with server.client(server.key, base="/ns-api/v1") as elsewhere:
        assert elsewhere.get("/version").status_code == 404


def test_json_in_and_out_utf_8(tenant: Tenant) -> None:
    """“JSON in and out, UTF-8”"""
    name = fresh()
    body = user(name) | {"name-first-name": "Zoë", "name-last-name": "北京 Ødegård"}
    answered(tenant.api.post(f"{tenant.path}/users", json=body), 202)
    answer = tenant.api.get(f"{tenant.path}/users/{name}")
    assert answer.headers["content-type"].startswith("application/json")
    assert answered(answer, 200)["name-last-name"] == "北京 Ødegård"
    assert answer.content.decode("utf-8").count("Zoë") == 1


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer nss_wrong", "Basic dTpw", "Bearer nsx_1", f"Bearer nss_{'a' * 56}"]
)
def test_missing_or_bad_401(server: Server, tenant: Tenant, sent: str) -> None:
    """“`Authorization: Bearer <token>` … Missing or bad: 401.”"""
    with server.client(None) as nobody:
        answer = nobody.get(tenant.path, headers={"Authorization": sent} if sent else {})
    assert answered(answer, 401)["code"] == 401


def test_booleans_are_the_strings_yes_and_no(tenant: Tenant) -> None:
    """“Booleans are the strings `yes` and `no`.”"""
    path = f"{tenant.path}/users/1000/devices/1000"
    assert tenant.api.get(path).json()["auto-answer-enabled"] == "no"
    answered(tenant.api.put(path, json={"device-push-enabled": "no"}), 202)
    assert tenant.api.get(path).json()["device-push-enabled"] == "no"
    assert "device-push-enabled" in faulted(tenant.api.put(path, json={"device-push-enabled": "maybe"}), 400)


def test_numbers_and_strings_stand_for_each_other(tenant: Tenant) -> None:
    """“Numbers may arrive as strings and strings as numbers (`"caller-id-number": 45376199`): accept, store as
    string.”"""
    as_number, as_string = fresh(), fresh()
    for name, number, seconds in ((as_number, 45376199, "25"), (as_string, "45376199", 25)):
        body = user(name) | {"caller-id-number": number, "ring-no-answer-timeout-seconds": seconds}
        answered(tenant.api.post(f"{tenant.path}/users", json=body), 202)
    one, two = (tenant.api.get(f"{tenant.path}/users/{name}").json() for name in (as_number, as_string))
    assert str(one["caller-id-number"]) == "45376199"
    assert one["caller-id-number"] == two["caller-id-number"]
    assert one["ring-no-answer-timeout-seconds"] == two["ring-no-answer-timeout-seconds"]


@pytest.mark.parametrize(
    "at", ["2026-03-01 10:00:00", "2026-03-01T10:00:00Z", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00+00:00"]
)
def test_date_times_are_utc_or_rfc_3339(tenant: Tenant, at: str) -> None:
    """“Date-times are `YYYY-MM-DD HH:MM:SS` in UTC or RFC 3339”"""
    params = {"datetime-start": at, "datetime-end": "2026-03-02 00:00:00"}
    assert answered(tenant.api.get(f"{tenant.path}/cdrs", params=params), 200) == []


def test_date_times_that_are_none_are_refused(tenant: Tenant) -> None:
    """“Date-times are `YYYY-MM-DD HH:MM:SS` in UTC or RFC 3339”"""
    params = {"datetime-start": "yesterday", "datetime-end": "31/12/2026"}
    assert set(faulted(tenant.api.get(f"{tenant.path}/cdrs", params=params), 400)) == set(params)


def test_answers_use_rfc_3339_with_offset(tenant: Tenant) -> None:
    """“answers use RFC 3339 with offset”"""
    made = tenant.api.get(f"{tenant.path}/users/1000").json()["created-datetime"]
    assert len(made) >= len("2026-03-01T10:00:00+00:00")
    assert made[10] == "T"
    assert made.endswith("+00:00")


def test_unknown_body_fields_are_ignored_and_named(tenant: Tenant) -> None:
    """“Unknown body fields are ignored and named in a `X-Ringbridge-Ignored` response header”"""
    body = user(fresh()) | {"favourite-colour": "blue", "srv_code": 7}
    answer = tenant.api.post(f"{tenant.path}/users", json=body)
    answered(answer, 202)
    named = {name.strip() for name in answer.headers["x-ringbridge-ignored"].split(",")}
    assert named == {"favourite-colour", "srv_code"}


@pytest.mark.parametrize("tilde", ["~", "%7E", "%7e"])
def test_a_token_with_no_domain_or_user_gets_400(api: httpx.Client, tilde: str) -> None:
    """“A token with no domain or user (a reseller or super-user key) gets 400 that says so, never "all"”"""
    assert "domain" in faulted(api.get(f"/domains/{tilde}"), 400)
    assert {"domain", "user"} <= set(faulted(api.get(f"/domains/{tilde}/users/{tilde}/calls"), 400))


def test_an_empty_user_segment_is_tilde(tenant: Tenant) -> None:
    """“An empty user segment (`/users//calls`) is `~`”"""
    empty = tenant.api.get(f"{tenant.path}/users//calls")
    tilde = tenant.api.get(f"{tenant.path}/users/~/calls")
    assert faulted(empty, 400) == faulted(tilde, 400)


@pytest.mark.parametrize("name", ["~", "*"])
def test_tilde_and_star_are_no_names(tenant: Tenant, name: str) -> None:
    """“`~` and `*` are no names.”"""
    assert "domain" in faulted(tenant.api.post("/domains", json=domain_body(name)), 400)
    assert "user" in faulted(tenant.api.post(f"{tenant.path}/users", json=user(name)), 400)


def test_tilde_is_expanded_in_paths_only(tenant: Tenant) -> None:
    """“Expanded once, before anything is authorised, in paths only”"""
    body = {"call-id": new_id(), "call-orig-user": "~", "call-term-user": "~"}
    assert {"call-orig-user", "call-term-user"} <= set(faulted(tenant.api.post(tenant.calls(), json=body), 400))


@pytest.mark.parametrize("what", CREATES)
def test_a_create_by_default_answers_202_and_can_be_used_at_once(tenant: Tenant, what: str) -> None:
    """“a write by default answers 202 `{"code":202,"message":"Accepted"}`, a full success: the resource can be used at
    once”"""
    path, body, at = creates(tenant)[what]
    answer = answered(tenant.api.post(path, json=body), 202)
    assert answer.items() >= ACCEPTED.items()
    if "{" not in at:  # who made a rule or a subscription learns its id when he asks for 200, or by the list
        answered(tenant.api.get(at), 200)
    else:
        answered(tenant.api.get(path), 200)


@pytest.mark.parametrize("what", CREATES)
def test_a_synchronous_create_answers_200_with_the_resource(tenant: Tenant, what: str) -> None:
    """“With `"synchronous":"yes"` in the body of a create: 200 with the resource as its GET gives it.”"""
    path, body, at = creates(tenant)[what]
    made = answered(tenant.api.post(path, json=body | {"synchronous": "yes"}), 200)
    read = answered(tenant.api.get(at.format_map(made)), 200)
    # Secrets that the server makes are shown once, and which node delivers events shows once one does.
    apart = {"webhook-secret", "device-sip-registration-password", "current-active-server"}
    made, read = ({name: one[name] for name in one if name not in apart} for one in (made, read))
    assert made == read


@pytest.mark.parametrize("what", CREATES)
def test_updates_and_deletes_answer_202(tenant: Tenant, what: str) -> None:
    """“Updates and deletes answer 202 (200 accepted from us nowhere).”"""
    path, body, at = creates(tenant)[what]
    made = answered(tenant.api.post(path, json=body | {"synchronous": "yes"}), 200)
    resource = at.format_map(made)
    change = {"enabled": "no"} if "enabled" in made else {"description": "changed"}
    assert answered(tenant.api.put(resource, json=change | {"synchronous": "yes"}), 202).items() >= ACCEPTED.items()
    assert answered(tenant.api.delete(resource), 202).items() >= ACCEPTED.items()
    answered(tenant.api.get(resource), 404)


def test_the_shape_of_errors(tenant: Tenant) -> None:
    """“Errors: `{"code": <status>, "message": "<one sentence>", "errors": [{"field", "code", "message", "found",
    "allowed"}], "request-id": "…"}`”"""
    answer = tenant.api.post(tenant.calls(), json=call_body(term="no number at all"))
    body = answered(answer, 400)
    assert body["code"] == 400
    assert isinstance(body["message"], str)
    assert body["request-id"] == answer.headers["x-request-id"]
    (fault,) = [one for one in body["errors"] if one["field"] == "call-term-user"]
    assert {"field", "code", "message", "found", "allowed"} <= set(fault)
    assert fault["found"] == "no number at all"


def test_errors_as_problem_json_when_asked_for(tenant: Tenant) -> None:
    """“also as `application/problem+json` when asked for by `Accept`”"""
    answer = tenant.api.get(f"{tenant.path}/users/nobody", headers={"Accept": "application/problem+json"})
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answered(answer, 404)["status"] == 404


def test_every_fault_of_the_request_in_one_answer(tenant: Tenant) -> None:
    """“Every fault of the request in one answer.”"""
    body = {"call-id": "no id", "auto-answer-enabled": "maybe", "call-term-added-sip-header": "Via: x"}
    faults = faulted(tenant.api.post(tenant.calls(), json=body), 400)
    assert set(faults) >= {"call-id", "call-term-user", "auto-answer-enabled", "call-term-added-sip-header"}


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b"nothing", b'{"call-id": "\xff"}', b'{"call-id": 1e999}'])
def test_400_malformed(tenant: Tenant, sent: bytes) -> None:
    """“400 malformed or invalid … 422 never”"""
    headers = {"Content-Type": "application/json"}
    answered(tenant.api.post(tenant.calls(), content=sent, headers=headers), 400)


def test_404_of_what_is_not_there(tenant: Tenant) -> None:
    """“404”"""
    for path in ("/domains/nowhere.example", f"{tenant.path}/users/nobody", tenant.call("none"), "/no/such/path"):
        assert answered(tenant.api.get(path), 404)["code"] == 404


def test_409_conflict(tenant: Tenant) -> None:
    """“409 conflict”"""
    assert answered(tenant.api.post("/domains", json=domain_body(tenant.domain)), 409)["code"] == 409


def test_413_of_a_body_that_is_too_large(tenant: Tenant) -> None:
    """“413”"""
    answered(tenant.api.post(tenant.calls(), json=call_body() | {"padding": "x" * 100_000}), 413)


def test_415_of_a_body_that_is_no_json(tenant: Tenant) -> None:
    """“415”"""
    headers = {"Content-Type": "text/plain"}
    answered(tenant.api.post(tenant.calls(), content=b"call-id=1", headers=headers), 415)


LISTS = (
    "/domains",
    "{0}/users",
    "{0}/users/1000/devices",
    "{0}/users/1000/answerrules",
    "{0}/users/1000/calls",
    "{0}/users/1000/cdrs",
    "{0}/phonenumbers",
    "{0}/dialplans/plan/dialrules",
    "{0}/connections",
    "{0}/calls",
    "{0}/cdrs",
    "{0}/subscriptions",
    "/subscriptions",
    "/phonenumbers",
    "/connections",
    "/cdrs",
    "/apikeys",
)


@pytest.mark.parametrize("path", LISTS)
def test_every_list_takes_start_and_limit(tenant: Tenant, path: str) -> None:
    """“every list takes `start` (1-based; 0 means 1) and `limit` (default 100, at most 1000)”"""
    at = path.format(tenant.path)
    first = answered(tenant.api.get(at, params={"start": 1, "limit": 1}), 200)
    assert answered(tenant.api.get(at, params={"start": 0, "limit": 1}), 200) == first
    assert len(first) <= 1
    answered(tenant.api.get(at, params={"limit": 1000}), 200)
    assert "limit" in faulted(tenant.api.get(at, params={"limit": 1001}), 400)


@pytest.mark.parametrize("path", LISTS)
def test_count_gives_the_total(tenant: Tenant, path: str) -> None:
    """“`…/count` gives `{"total": n}`”"""
    total = answered(tenant.api.get(path.format(tenant.path) + "/count"), 200)["total"]
    assert isinstance(total, int)


def test_pages_have_link_and_total_headers(tenant: Tenant) -> None:
    """“Also `Link` and `X-Total-Count` headers”"""
    at = f"{tenant.path}/users"
    total = tenant.api.get(f"{at}/count").json()["total"]
    answer = tenant.api.get(at, params={"start": 2, "limit": 1})
    assert int(answer.headers["x-total-count"]) == total
    assert {"first", "prev", "next"} <= set(answer.links)
    page = tenant.api.get(answer.links["next"]["url"].removeprefix(BASE))
    assert answered(page, 200) != answer.json()


def test_pages_leave_nobody_out(tenant: Tenant) -> None:
    """“every list takes `start` … and `limit`”"""
    at = f"{tenant.path}/users"
    whole = [one["user"] for one in tenant.api.get(at, params={"limit": 1000}).json()]
    pages = [tenant.api.get(at, params={"start": start + 1, "limit": 2}).json() for start in range(0, len(whole), 2)]
    assert [one["user"] for page in pages for one in page] == whole


@pytest.mark.parametrize("name", ["a" * 65, "with space", "semi;colon"])
def test_the_pattern_of_a_domain(tenant: Tenant, name: str) -> None:
    """“Path patterns: domain `[A-Za-z0-9._-]{1,64}`”"""
    assert "domain" in faulted(tenant.api.get(f"/domains/{name}"), 400)


def test_a_domain_of_64_characters(api: httpx.Client) -> None:
    """“Path patterns: domain `[A-Za-z0-9._-]{1,64}`”"""
    name = (fresh("A-z_9.") + "x" * 64)[:64]
    answered(api.post("/domains", json=domain_body(name)), 202)
    answered(api.get(f"/domains/{name}"), 200)
    answered(api.delete(f"/domains/{name}"), 202)


def test_the_pattern_of_a_user(tenant: Tenant) -> None:
    """“user 0 to 16 characters `[A-Za-z0-9._-]`”"""
    name = (fresh("A-z_9.") + "x" * 16)[:16]
    answered(tenant.api.post(f"{tenant.path}/users", json=user(name)), 202)
    answered(tenant.api.get(f"{tenant.path}/users/{name}"), 200)
    assert "user" in faulted(tenant.api.get(f"{tenant.path}/users/{name}x"), 400)
    assert "user" in faulted(tenant.api.post(f"{tenant.path}/users", json=user(name + "x")), 400)


def test_version(api: httpx.Client) -> None:
    """“`GET /version` → `{"apiversion": "…"}`”"""
    assert isinstance(answered(api.get("/version"), 200)["apiversion"], str)


def test_request_id_echoed_or_made(api: httpx.Client) -> None:
    """“`X-Request-Id` echoed or made.”"""
    assert api.get("/version", headers={"X-Request-Id": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert api.get("/version").headers["x-request-id"] != api.get("/version").headers["x-request-id"]


def test_a_secret_is_never_read_back(tenant: Tenant) -> None:
    """“With `"synchronous":"yes"` … the resource as its GET gives it” — a device's password is no part of that."""
    assert PASSWORD not in tenant.api.get(f"{tenant.path}/users/1000/devices/1000").text
