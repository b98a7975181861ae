"""Contract section 4: every field of the directory's schemas, walked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.samples import FOUND_OUT, KINDS, NAMES, SECRETS, is_stored, samples
from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.test_directory import resources
from tests.contract.wire import Json, Tenant, answered

CREATED = [(kind.read, name) for kind in KINDS.values() for name in SCHEMAS[kind.create] if is_stored(name)]
"""A resource's own name among them, which a create sends too."""
UPDATED = [
    (kind.read, name)
    for kind in KINDS.values()
    for name in SCHEMAS[kind.update]
    if is_stored(name) and name not in NAMES and (kind.read, name) in CREATED
]
TOLD_BY_THE_SERVER = [
    (kind.read, name) for kind in KINDS.values() for name in SCHEMAS[kind.update] if name in FOUND_OUT
]
WITH_SECRETS = [(kind.read, name) for kind in KINDS.values() for name in SCHEMAS[kind.create] if name in SECRETS]


class Stored:
    """One resource of each kind, made with a value for every field that can be set."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._paths: dict[str, str] = {}
        self._made: dict[str, dict[str, Json]] = {}
        self.sent: dict[str, dict[str, Json]] = {}
        self.now: dict[str, dict[str, Json]] = {}
        """As each was read last, after whatever changed it."""

    def path(self, kind: str) -> str:
        """Return the path of the resource, once it is made."""
        if kind not in self._paths:
            at, body, name = resources(self._tenant)[kind]
            schema = KINDS[kind].create
            whole = {one: samples(schema, one)[0] for one in SCHEMAS[schema] if is_stored(one)}
            secrets = dict.fromkeys(SECRETS & set(SCHEMAS[schema]), "Secret-Word-4711")
            self.sent[kind] = whole | {"domain": self._tenant.domain} | body
            made = answered(self._tenant.api.post(at, json=self.sent[kind] | secrets | {"synchronous": "yes"}), 200)
            self._paths[kind] = f"{at}/{made[name]}"
            self._made[kind] = self.read(kind)
        return self._paths[kind]

    def made(self, kind: str) -> dict[str, Json]:
        """Return the resource as it was read when it had been made."""
        self.path(kind)
        return self._made[kind]

    def read(self, kind: str) -> dict[str, Json]:
        self.now[kind] = dict(answered(self._tenant.api.get(self.path(kind)), 200))
        return dict(self.now[kind])


@pytest.fixture(scope="module")
def stored(tenant: Tenant) -> Stored:
    return Stored(tenant)


@pytest.fixture
def put(tenant: Tenant, stored: Stored) -> Callable[[str, dict[str, Json]], None]:
    """Return what changes the resource of a kind."""

    def change(kind: str, body: dict[str, Json]) -> None:
        answered(tenant.api.put(stored.path(kind), json=body), 202)

    return change


def same(read: Json, sent: Json) -> bool:
    """Tell whether a value came back: numbers may stand for texts and texts for numbers (section 1)."""
    if isinstance(sent, dict | list | bool):
        return bool(read == sent)
    return str(read).removeprefix("+") == str(sent)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_of_every_field_is_of_its_schema(stored: Stored, kind: str) -> None:
    """“Field-by-field schemas (name, type, required, default, enum, pattern, length) are in …” (the beginning)"""
    assert faults_of(kind, stored.made(kind)) == []


@pytest.mark.parametrize(("kind", "name"), CREATED)
def test_every_field_of_a_create_is_stored_and_read_back(stored: Stored, kind: str, name: str) -> None:
    """“Every field of the schemas is stored and read back”"""
    read = stored.made(kind)
    assert name in read
    assert same(read[name], stored.sent[kind][name])


@pytest.mark.parametrize(("kind", "name"), UPDATED)
def test_every_field_of_an_update_is_stored_and_the_rest_is_left(
    stored: Stored, put: Callable[[str, dict[str, Json]], None], kind: str, name: str
) -> None:
    """“PUT changes the fields that it names and leaves the rest.”"""
    stored.path(kind)
    before = dict(stored.now[kind])
    wanted = samples(KINDS[kind].update, name)[1]
    put(kind, {name: wanted})
    after = stored.read(kind)
    assert same(after.pop(name), wanted)
    before.pop(name)
    for stamp in ("last-modified-datetime", "created-datetime"):
        assert before.pop(stamp, "")[:4] == after.pop(stamp, "")[:4]
    assert after == before


@pytest.mark.parametrize(("kind", "name"), TOLD_BY_THE_SERVER)
def test_what_the_server_finds_out_cannot_be_said_by_a_client(
    tenant: Tenant, stored: Stored, kind: str, name: str
) -> None:
    """“Unknown body fields are ignored and named in a `X-Ringbridge-Ignored` response header” (section 1): so are
    facts that are the server's to know."""
    before = stored.read(kind)
    answer = tenant.api.put(stored.path(kind), json={name: samples(KINDS[kind].read, name)[0]})
    answered(answer, 202)
    assert answer.headers["x-ringbridge-ignored"] == name
    after = stored.read(kind)
    assert after.get(name, "")[:4] == before.get(name, "")[:4] if "datetime" in name else after == before


@pytest.mark.parametrize(("kind", "name"), WITH_SECRETS)
def test_secrets_are_taken_and_never_read_back(tenant: Tenant, stored: Stored, kind: str, name: str) -> None:
    """“password (Argon2id)”; “credentials”: what is told is never one of them."""
    answer = tenant.api.get(stored.path(kind))
    assert name not in answered(answer, 200)
    assert "Secret-Word-4711" not in answer.text


@pytest.mark.parametrize("kind", KINDS)
def test_required_fields_are_asked_for_all_at_once(tenant: Tenant, kind: str) -> None:
    """“required” of the schemas; “Every fault of the request in one answer.” (section 1)"""
    path, body, _ = resources(tenant)[kind]
    answer = tenant.api.post(path, json={})
    missing = {fault["field"] for fault in answered(answer, 400)["errors"] if fault["code"] == "missing"}
    assert missing
    assert missing <= set(body)


ENUMS = [
    (kind.read, name)
    for kind in KINDS.values()
    for name in SCHEMAS[kind.update]
    if is_stored(name)
    and name not in NAMES
    and (SCHEMAS[kind.update][name].get("enum") or SCHEMAS.get(str(SCHEMAS[kind.update][name]["type"]), {}).get("enum"))
]


@pytest.mark.parametrize(("kind", "name"), ENUMS)
def test_values_that_no_enum_has_are_refused(tenant: Tenant, stored: Stored, kind: str, name: str) -> None:
    """“enum” of the schemas; the error names the field, what was found and what is allowed (section 1)."""
    answer = tenant.api.put(stored.path(kind), json={name: "no-such-value"})
    (fault,) = answered(answer, 400)["errors"]
    assert fault["field"] == name
    assert "no-such-value" in fault["found"]
    assert fault["allowed"]
