"""Pages that ship with the program: served with a policy that lets them reach this server alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

import ringbridge.console
import ringbridge.reference
from ringbridge.api.http.pages import Pages, console_pages, reference_pages
from ringbridge.api.parts import ApiSettings
from tests.api.world import World

CONSOLE = Path(ringbridge.console.__file__).parent
REFERENCE = Path(ringbridge.reference.__file__).parent
FIRST_PAGE_BYTES = 500_000
IMPORT = re.compile(r"""(?:from|import)\s*"([^"]+)"|(?:src|href)="([^"#][^"]*)\"""")


def scripts() -> list[Path]:
    return [path for path in CONSOLE.rglob("*.js") if "vendor" not in path.parts]


async def test_the_console_is_found_with_and_without_its_slash(world: World) -> None:
    async with world.client("") as client:
        bare = await client.get("/console")
        assert (bare.status_code, bare.headers["location"]) == (308, "console/")
        page = await client.get("/console/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.text == (CONSOLE / "index.html").read_text()
        assert (await client.get("/console/index.html")).text == page.text


async def test_a_page_may_run_its_own_files_and_reach_this_server_alone(world: World) -> None:
    async with world.client("") as client:
        for path in ("/console/", "/console/app.js", "/console/style.css"):
            headers = (await client.get(path)).headers
            policy = dict(one.strip().split(" ", 1) for one in headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
            assert "unsafe" not in headers["content-security-policy"]
            assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


async def test_a_file_is_compressed_kept_and_asked_for_again(world: World) -> None:
    async with world.client("") as client:
        answer = await client.get("/console/app.js", headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["cache-control"] == "no-cache"
        plain = await client.get("/console/app.js", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content == (CONSOLE / "app.js").read_bytes()
        tag = answer.headers["etag"]
        again = await client.get("/console/app.js", headers={"if-none-match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        head = await client.head("/console/app.js", headers={"accept-encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(plain.content)


@pytest.mark.parametrize(
    "path", ["nothing.js", "../api/app.py", "..%2fapi%2fapp.py", "__init__.py", "vendor", "vendor/", "%00", "pages/"]
)
async def test_nothing_but_the_page_s_files_is_served(world: World, path: str) -> None:
    async with world.client("") as client:
        answer = await client.get(f"/console/{path}")
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "no-such-path"
        assert (await client.post("/console/app.js")).status_code == 405


async def test_the_page_knows_the_client_that_it_logs_in_with() -> None:
    pages = console_pages(ApiSettings(public_client="desk"))
    assert json.loads(pages.files["settings.json"].body)["client-id"] == "desk"


def test_the_console_s_files_are_found_where_it_names_them_and_nowhere_else() -> None:
    served = Pages("ringbridge.console").files
    assert "__init__.py" not in served
    for path in (CONSOLE / "index.html", *CONSOLE.rglob("*.js")):
        for found in IMPORT.finditer(path.read_text()):
            name = found[1] or found[2]
            if found[2] is not None and (path.suffix == ".js" or name == ""):
                continue  # links inside the page
            target = (path.parent / name).resolve().relative_to(CONSOLE)
            assert str(target) in served, f"{path.name} names {name}"


def test_a_page_has_no_script_or_style_of_its_own_and_names_no_other_host() -> None:
    page = (CONSOLE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", page)
    for path in (CONSOLE / "index.html", CONSOLE / "style.css", *scripts()):
        text = path.read_text()
        assert not re.search(r"(?:src|href|url\(|fetch\(|import)\W{0,3}(?:https?:)?//", text), path.name
        assert "innerHTML" not in text


def test_the_first_page_is_small() -> None:
    files = console_pages(ApiSettings()).files
    assert sum(len(file.compressed) for file in files.values()) < FIRST_PAGE_BYTES / 5
    assert gzip.decompress(files["app.js"].compressed) == files["app.js"].body


@pytest.mark.parametrize("folder", [CONSOLE / "vendor", REFERENCE / "vendor"], ids=["console", "reference"])
def test_libraries_are_those_that_the_list_says(folder: Path) -> None:
    """As tools/vendor.py left them: with version, licence and digest."""
    listed = json.loads((folder / "vendored.json").read_text())
    for one in listed:
        assert hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest() == one["sha256"], one["file"]
        assert one["version"]
        assert one["licence"]
        assert (folder / one["licence-file"]).stat().st_size > 500
    assert {path.name for path in folder.glob("*.js")} == {one["file"] for one in listed}


async def test_the_reference_is_served_and_may_reach_this_server_alone(world: World) -> None:
    async with world.client("") as client:
        assert (await client.get("/docs")).headers["location"] == "docs/"
        page = await client.get("/docs/")
        assert (page.status_code, page.text) == (200, (REFERENCE / "index.html").read_text())
        for name in IMPORT.finditer(page.text):
            assert (await client.get(f"/docs/{name[2]}")).status_code == 200, name[2]
    policy = dict(one.strip().split(" ", 1) for one in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    # The component sets styles on its elements, and that is all that it is allowed.
    assert [name for name, value in policy.items() if "unsafe" in value] == ["style-src"]
    assert policy["style-src"] == "'self' 'unsafe-inline'"
    assert not re.search(r"https?:", page.headers["content-security-policy"])


def test_scripts_of_the_reference_find_what_they_import() -> None:
    ours, theirs = reference_pages().files, console_pages(ApiSettings()).files
    for path in REFERENCE.glob("*.js"):
        for found in re.finditer(r'from "([^"]+)"', path.read_text()):
            of_console = found[1].startswith("../console/")
            name = found[1].removeprefix("../console/" if of_console else "./")
            assert name in (theirs if of_console else ours), f"{path.name} imports {found[1]}"
