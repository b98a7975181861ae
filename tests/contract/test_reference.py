"""Contract section 7: what the reference page shows, as far as it can be asked for: the page and its document.

What it looks like and does in a browser is tested in one (`tests/browser/test_reference.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.shapes import SCHEMAS
from tests.contract.wire import Json, Server, answered

CALLS = "/ns-api/v2/domains/{domain}/users/{user}/calls"


@pytest.fixture(scope="module")
def root(server: Server) -> Iterator[httpx.Client]:
    """Return the server as a browser comes to it: without a token."""
    with server.client(None, base="") as client:
        yield client


@pytest.fixture(scope="module")
def document(root: httpx.Client) -> dict[str, Json]:
    """Return the OpenAPI document that the page is made of."""
    return dict(answered(root.get("/openapi.json"), 200))


def resolved(document: dict[str, Json], schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema, also where it is named."""
    return (
        resolved(document, document["components"]["schemas"][schema["$ref"].rsplit("/")[-1]])
        if "$ref" in schema
        else schema
    )


def test_the_page_is_there_for_everybody(root: httpx.Client) -> None:
    """“The founding document is an interactive reference page.”"""
    answer = root.get("/docs", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_request_history_is_only_for_who_is_logged_in(root: httpx.Client, server: Server, api: httpx.Client) -> None:
    """“request history (time, status, user agent; only when logged in; …)”"""
    answered(root.get("/ringbridge/v1/requests"), 401)
    api.get("/domains/a-name-for-the-history.example", headers={"User-Agent": "contract-history/1"})
    with server.client(server.key, base="") as client:
        params = {"path": "a-name-for-the-history", "limit": 1}
        (found,) = read(client, params)
    assert (found["status"], found["user-agent"]) == (404, "contract-history/1")
    assert found["method"] == "GET"


def read(client: httpx.Client, params: dict[str, Json]) -> list[dict[str, Json]]:
    """Return the request history once it holds what is asked for."""
    for _ in range(100):
        found = list(answered(client.get("/ringbridge/v1/requests", params=params), 200))
        if found:
            return found
    return []


def test_path_parameters(document: dict[str, Json]) -> None:
    """“path parameters with required mark, length and default”"""
    parameters = {
        one["name"]: one
        for one in (resolved_parameter(document, each) for each in document["paths"][CALLS]["post"]["parameters"])
        if one["in"] == "path"
    }
    assert set(parameters) == {"domain", "user"}
    for one in parameters.values():
        assert one["required"] is True
        assert one["description"]
        assert {"pattern", "maxLength"} & set(resolved(document, one["schema"]))
        assert "default" in one["schema"] or "example" in one or "examples" in one or "examples" in one["schema"]


def resolved_parameter(document: dict[str, Json], one: dict[str, Json]) -> dict[str, Json]:
    """Return a parameter, also where it is named."""
    return dict(document["components"]["parameters"][one["$ref"].rsplit("/")[-1]]) if "$ref" in one else one


@pytest.mark.parametrize("name", SCHEMAS["CallRequest"])
def test_body_parameters(document: dict[str, Json], name: str) -> None:
    """“body parameters as a form, with enum, required, default and explanation”"""
    body = document["paths"][CALLS]["post"]["requestBody"]["content"]["application/json"]
    schema = resolved(document, body["schema"])
    field = resolved(document, schema["properties"][name])
    wanted = SCHEMAS["CallRequest"][name]
    assert field["description"]
    enum = SCHEMAS.get(str(wanted["type"]), {}).get("enum", wanted.get("enum"))
    if isinstance(enum, list):
        assert set(enum) <= set(field["enum"])
    if wanted.get("default") in ("yes", "no", "call"):
        assert field["default"] == wanted["default"]
    if name in ("call-id", "call-term-user"):
        assert name in schema["required"]


def test_responses_and_examples_by_media_type(document: dict[str, Json]) -> None:
    """“responses”; “the response, or a choice of examples by media type”"""
    responses = document["paths"][CALLS]["post"]["responses"]
    assert {"200", "202", "400", "401", "403", "404", "409", "429", "503"} <= set(responses)
    for status in ("200", "202", "400"):
        answer = responses[status]
        answer = document["components"]["responses"][answer["$ref"].rsplit("/")[-1]] if "$ref" in answer else answer
        assert answer["description"]
        for media in answer["content"].values():
            assert media.get("example") or media.get("examples")
    refused = responses["400"]
    refused = document["components"]["responses"][refused["$ref"].rsplit("/")[-1]] if "$ref" in refused else refused
    assert {"application/json", "application/problem+json"} <= set(refused["content"])


def test_credentials_are_a_bearer_s(document: dict[str, Json]) -> None:
    """“a credentials box (Bearer)”"""
    schemes = document["components"]["securitySchemes"]
    assert any((one["type"], one.get("scheme", "").lower()) == ("http", "bearer") for one in schemes.values())


def test_every_path_of_the_contract_is_in_the_document(document: dict[str, Json]) -> None:
    """“Sections 1 to 6”: what the contract names can be read about, and tried."""
    named = {
        CALLS: {"get", "post"},
        f"{CALLS}/count": {"get"},
        f"{CALLS}/{{call-id}}": {"get", "delete", "patch"},
        **{f"{CALLS}/{{call-id}}/{verb}": {"patch"} for verb in ("hold", "unhold", "answer", "reject", "transfer")},
        "/ns-api/v2/domains/{domain}/calls": {"get"},
        "/ns-api/v2/tokens": {"post"},
        "/ns-api/v2/jwt": {"get", "post", "delete"},
        "/ns-api/v2/jwt/{jti}": {"delete"},
        "/ns-api/v2/apikeys": {"get", "post"},
        "/ns-api/v2/apikeys/{key-id}": {"get", "put", "delete"},
        "/ns-api/v2/domains/{domain}/users/{user}/answerrules/reorder": {"put"},
        "/ns-api/v2/subscriptions": {"get", "post"},
        "/ns-api/v2/cdrs": {"get"},
        "/ns-api/v2/domains/{domain}/recordings/{call-id}": {"get"},
        "/ns-api/v2/version": {"get"},
    }
    missing = {path: verbs - set(document["paths"].get(path, {})) for path, verbs in named.items()}
    assert {path: verbs for path, verbs in missing.items() if verbs} == {}
