"""The examples of the OpenAPI document: there for every answer with a body, and what a run of the API answers."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ringbridge.api.document.examples import RECORDED, answers_of
from ringbridge.api.http.answers import encode
from tests.api.recording import differences, recorder, told_story
from tests.api.world import World


def recorded() -> dict[str, Any]:
    examples: dict[str, Any] = json.loads(files("ringbridge.api.document").joinpath(RECORDED).read_text())
    return examples


async def test_every_example_is_what_a_run_answers(tmp_path: Path) -> None:
    async with recorder(tmp_path) as one:
        told = await told_story(one)
    assert sorted(differences(recorded(), told)) == [], "tools/examples.py records them anew"


@pytest.mark.parametrize(
    ("told", "difference"),
    [
        ({"a": [{"b": 1}], "id": "x"}, None),
        ({"a": [{"b": 1}], "id": "y"}, None),
        ({"a": [{"b": 2}], "id": "x"}, "/a/b: 1 for 2"),
        ({"a": [{"b": "1"}], "id": "x"}, "/a/b: 1 for '1'"),
        ({"a": [], "id": "x"}, "/a: 1 of 0"),
        ({"a": [{"b": 1}]}, "/id: is not told"),
        ({"a": [{"b": 1, "c": 1}], "id": "x"}, "/a/c: is missing"),
    ],
)
def test_what_differs_is_found(told: object, difference: str | None) -> None:
    found = list(differences({"a": [{"b": 1}], "id": "x"}, told))
    assert found == ([] if difference is None else [difference])


async def test_every_answer_with_a_body_has_an_example_that_fits_its_type(world: World) -> None:
    for operation in world.operations:
        for reply in operation.replies:
            examples = answers_of(operation.name, reply.status)
            kinds = {reply.content_type.partition(";")[0], *reply.also} if reply.body is not None else set()
            assert {kind.partition(";")[0] for kind in examples} == kinds, operation.name
            if reply.body is not None and not isinstance(reply.body, dict):
                first = reply.body[0] if isinstance(reply.body, tuple) else reply.body
                msgspec.json.decode(encode(examples[reply.content_type]), type=first)


def test_no_example_is_of_an_operation_that_is_none(world: World) -> None:
    assert recorded().keys() <= {operation.name for operation in world.operations}
