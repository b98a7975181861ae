"""The OpenAPI document: complete, true, and held against the running API by schemathesis."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any, Self

import httpx
import hypothesis
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from ringbridge.api.app import create_app
from ringbridge.api.document.openapi import openapi_document
from ringbridge.api.http.server import ApiServer
from tests.api.world import World, running_world

EXAMPLES = 5
"""Of each operation and mode: what fits into seconds; longer runs belong to a tool, not to every test run."""


class Served:
    """A world behind a real socket, in a thread of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.key = ""
        self.document: dict[str, Any] = {}
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running_world() as world:
            server = ApiServer(world.app, port=0)
            await server.start()
            self.url, self.key = server.url, world.manager_key
            self._started.set()
            await self._stop.wait()
            await server.stop()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        self.document = httpx.get(f"{self.url}/openapi.json", timeout=5).json()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as one:
        yield one


@pytest.fixture(scope="module")
def schema(served: Served) -> OpenApiSchema:
    read = schemathesis.openapi.from_dict(served.document)
    read.config.update(base_url=served.url)
    return read


def operation_ids() -> list[str]:
    """Return the operations of the document without serving it."""

    async def names() -> list[str]:
        return [operation.name for operation in World().operations]

    return asyncio.run(names())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation_id", operation_ids())
def test_the_api_keeps_to_its_document(
    served: Served, schema: OpenApiSchema, operation_id: str, mode: GenerationMode
) -> None:
    operation = schema.find_operation_by_id(operation_id)
    known = {"domain": "demo", "user": "1001"}
    names = [parameter.name for parameter in operation.path_parameters]
    fixed = {name: known[name] for name in names if name in known}
    if mode is GenerationMode.NEGATIVE and not (names or list(operation.query) or list(operation.body)):
        return  # nothing can be wrong in a request without input
    cases = operation.as_strategy(generation_mode=mode)
    if fixed and mode is GenerationMode.POSITIVE and set(names) == set(fixed):
        cases |= operation.as_strategy(generation_mode=mode, path_parameters=fixed)
    # A well-formed request may still be refused with 400 for what it asks: a number that leads nowhere.
    accepted = schemathesis.checks.CHECKS.get_one("positive_data_acceptance")
    # Query fields that nobody knows are passed over, as unknown body fields are.
    rejected = schemathesis.checks.CHECKS.get_one("negative_data_rejection")
    known_query = {parameter.name for parameter in operation.query}

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    def check(case: schemathesis.Case[Any]) -> None:
        excluded: list[Any] = [accepted] if set(case.query or {}) <= known_query else [accepted, rejected]
        case.call_and_validate(headers={"Authorization": f"Bearer {served.key}"}, excluded_checks=excluded)

    check()


async def test_every_route_is_in_the_document_with_all_that_it_answers(world: World) -> None:
    async with world.client("") as client:
        answer = await client.get("/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    described = [one for path in document["paths"].values() for one in path.values()]
    served = {one.name for one in world.operations} | {"read-openapi", "read-openapi-yaml"}
    assert {one["operationId"] for one in described} == served
    for operation in described:
        assert operation["summary"]
        assert "500" in operation["responses"]
        if operation["security"]:
            assert {"401", "403"} <= set(operation["responses"])
        for parameter in operation["parameters"]:
            assert parameter["description"]
            assert parameter["schema"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"]
    body = document["components"]["schemas"]["CallRequest"]
    assert body["required"] == ["call-id", "call-term-user"]
    assert body["properties"]["synchronous"]["default"] == "no"
    assert body["properties"]["call-id"]["pattern"]


async def test_the_document_has_no_reference_to_nowhere(world: World) -> None:
    document = openapi_document(world.operations, version="1")
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        target: Any = document
        for name in reference.split("/"):
            target = target[name]
        assert target


def test_the_app_is_made_once_per_registry() -> None:
    async def build() -> None:
        world = World()
        with pytest.raises(ValueError, match="Duplicated"):
            create_app(world.parts)

    asyncio.run(build())


async def test_the_document_is_served_as_yaml_too(world: World) -> None:
    async with world.client("") as client:
        answer = await client.get("/openapi.yaml")
        assert answer.headers["content-type"] == "application/yaml"
        assert yaml.safe_load(answer.text) == (await client.get("/openapi.json")).json()
