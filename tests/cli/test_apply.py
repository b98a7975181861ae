"""`ringbridge apply` against the API."""

from pathlib import Path
from typing import Any

import pytest

from ringbridge.model.directory import ApiKey, Record
from ringbridge.model.errors import BusUnavailable
from tests.cli.conftest import Api
from tests.cli.forked import command

DIRECTORY = """\
domains:
  - domain: acme
    users:
      - user: 0045
        name-first-name: Ada
        devices:
          - device: 0045
            device-sip-registration-password: secret of a phone
        api-keys:
          - description: key of the help desk
"""


async def apply(api: Api, file: Path, *more: str, key: str | None = None) -> tuple[int, list[str], list[str]]:
    done = await command("apply", file, "--url", api.url, "--key", key or api.world.super_key, *more)
    return done.status, done.out.splitlines(), done.err.splitlines()


async def test_says_each_change_shows_keys_once_and_is_safe_to_repeat(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    status, out, err = await apply(api, file)
    assert (status, err) == (0, [])
    assert [line.split()[:3] for line in out[:4]] == [
        ["create", "domain", "acme"],
        ["create", "user", "acme/0045"],
        ["create", "device", "acme/0045"],
        ["create", "apikey", "acme/0045/key"],
    ]
    assert out[4] == "4 changes"
    assert out[6].startswith("New API keys")
    assert out[7].split()[0].startswith("nsu_")
    assert len(out[7].split()[0]) == 60
    assert await apply(api, file) == (0, ["nothing to change"], [])


async def test_names_the_fields_that_change_and_what_goes(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    await apply(api, file)
    file.write_text(DIRECTORY.split("        devices:", maxsplit=1)[0].replace("Ada", "Eva"))
    status, out, _ = await apply(api, file)
    assert status == 0
    assert "update  user         acme/0045  name-first-name" in out
    assert "delete  device       acme/0045" in out


async def test_keys_of_a_failure_are_shown_too(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = api.world.bus.put_record

    async def lose_the_answer(record: Record, **more: Any) -> int:
        sequence = await write(record, **more)
        if isinstance(record, ApiKey):
            raise BusUnavailable
        return sequence

    monkeypatch.setattr(api.world.bus, "put_record", lose_the_answer)
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    status, out, err = await apply(api, file)
    assert status == 2
    assert err[0].endswith("this once: 1")
    assert len(out[-1].split()[0]) == 60


async def test_a_dry_run_stores_nothing(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    before = api.world.writes
    status, out, _ = await apply(api, file, "--dry-run")
    assert status == 0
    assert out[-1] == "4 changes, dry run: nothing was stored"
    assert api.world.writes == before


async def test_every_fault_is_named_with_its_line(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY.replace("key of the help desk", "short").replace("name-first-name: Ada", "nickname: x"))
    status, out, err = await apply(api, file)
    assert (status, out) == (2, [])
    assert any(f"{file}:5: domains[0].users[0].nickname:" in line for line in err)
    assert any(f"{file}:10: domains[0].users[0].api-keys[0].description:" in line for line in err)


async def test_a_file_that_is_not_yaml_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("domains: [")
    done = await command("apply", file, "--key", "x", "--url", "http://127.0.0.1:1")
    assert done.status == 2
    assert "broken.yaml" in done.err


async def test_a_key_that_may_not_is_told_so(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    status, out, err = await apply(api, file, key=api.world.user_key)
    assert (status, out) == (2, [])
    assert "may not manage a directory" in err[0]


async def test_an_api_that_is_not_there_has_its_own_status(tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text(DIRECTORY)
    done = await command("apply", file, "--key", "nss_x", "--url", "http://127.0.0.1:1")
    assert done.status == 1
    assert "no answer from http://127.0.0.1:1" in done.err
