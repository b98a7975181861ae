"""Clients that other people's generators make of the OpenAPI document place a real call."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringbridge.cli.client import calls_path
from tests.live.child import running
from tests.live.node import Api, document, node, user
from tests.live.talkers import Talker, talkers

HERE = Path(__file__).parent
TYPESCRIPT = HERE / "typescript"
GENERATORS = HERE.parents[1] / ".venv-clients" / "bin"
DEADLINE_S = 100.0
"""The TypeScript compiler takes 15 s of a slow core."""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Return the API of a node with two registered phones, which answer."""
    users = [user("1001", "1001"), user("1002", "1002")]
    async with (
        node(document(users=users)) as (one, api),
        talkers(one, Talker(one, "1001", 600), Talker(one, "1002", 900)),
    ):
        api.path = calls_path(api.domain, "1001")
        yield api


@pytest.fixture
async def openapi(api: Api, data_dir: Path) -> Path:
    """Return a file with the document as the node gives it."""
    path = data_dir / "openapi.json"
    path.write_bytes((await api.http.get("/openapi.json")).content)
    return path


async def lines_of(*line: object, **variables: str) -> list[str]:
    """Run a program that has to succeed; return what it printed."""
    async with running(*line, env=os.environ | variables) as child:
        assert await child.wait_exit(DEADLINE_S) == 0, "\n".join(child.lines)
        return child.lines


async def placed(api: Api, call_id: str, lines: list[str]) -> bool:
    """Tell whether a client saw its call through to the end, and the node did too."""
    steps = [f"placed {call_id}", "connected", "ended"]
    return lines == steps and (await api.cdr(call_id))["call-talking-duration-seconds"] >= 0


async def test_a_typescript_client_of_the_document_compiles_and_places_a_call(api: Api, openapi: Path) -> None:
    tools = TYPESCRIPT / "node_modules" / ".bin"
    assert tools.exists(), "run tools/test_packages.sh once"
    generated = TYPESCRIPT / "generated"
    # Without that flag, a field with a default is one that must be sent.
    await lines_of(tools / "openapi-typescript", openapi, "--default-non-nullable=false", "-o", generated / "api.d.ts")
    await lines_of(tools / "tsc", "--project", TYPESCRIPT)
    told = {"BASE_URL": str(api.http.base_url).rstrip("/"), "KEY": key_of(api), "DOMAIN": api.domain}
    lines = await lines_of("node", generated / "built" / "call.js", **told, CALL_ID="of-typescript")
    assert await placed(api, "of-typescript", lines)


async def test_a_python_client_of_the_document_is_whole_and_places_a_call(
    api: Api, openapi: Path, data_dir: Path
) -> None:
    assert GENERATORS.exists(), "run tools/test_packages.sh once"
    package = data_dir / "ringbridge_client"
    generate = ("generate", "--path", openapi, "--output-path", package, "--meta", "none")
    path = f"{GENERATORS}:{os.environ['PATH']}"  # where it finds ruff, which reads what was made
    said = "\n".join(await lines_of(GENERATORS / "openapi-python-client", *generate, PATH=path))
    assert "Endpoint will not be generated" not in said, said
    assert "Unable to process schema" not in said, said
    script = HERE / "python_client" / "call.py"
    told = (str(api.http.base_url).rstrip("/"), key_of(api), api.domain, "of-python")
    lines = await lines_of(GENERATORS / "python", script, data_dir, *told)
    assert await placed(api, "of-python", lines)


def key_of(api: Api) -> str:
    """Return the key that a client sends."""
    return api.http.headers["Authorization"].removeprefix("Bearer ")
