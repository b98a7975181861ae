"""`ringbridge users`, `devices` and `keys` against the API."""

import asyncio
import json

import pytest

from ringbridge.model.device_password import with_password
from tests.cli.conftest import PROGRAM, Api
from tests.cli.forked import Outcome, command

ADA = ("--first-name", "Ada", "--last-name", "Lovelace", "--email", "ada@acme.example")


async def run(api: Api, *args: str, key: str | None = None) -> Outcome:
    return await command(*args, "--url", api.url, "--key", key or api.world.super_key)


def first_cells(done: Outcome) -> list[tuple[str, ...]]:
    """Return the first two cells of each line below the head."""
    assert (done.status, done.err) == (0, "")
    return [tuple(line.split()[:2]) for line in done.out.splitlines()[1:]]


async def test_every_key_lists_the_users_that_it_sees(api: Api) -> None:
    everyone = [(user, domain) for domain in ("demo", "other") for user in ("1001", "1002", "1003")]
    assert first_cells(await run(api, "users", "list")) == everyone
    assert first_cells(await run(api, "users", "list", key=api.world.manager_key)) == everyone[:3]
    assert first_cells(await run(api, "users", "list", key=api.world.user_key)) == everyone[:1]
    some = await run(api, "users", "list", "--json", "--limit", "4")
    assert len(json.loads(some.out)) == 4
    assert some.err == "4 shown; --limit N shows more\n"


async def test_a_user_is_added_shown_found_by_name_and_removed(api: Api) -> None:
    key = api.world.manager_key
    added = await run(api, "users", "add", "1042", *ADA, "--set", "time-zone=Europe/Copenhagen", key=key)
    assert (added.status, added.out, added.err) == (0, "added 1042@demo\n", "")
    shown = await run(api, "users", "show", "1042@demo")
    assert "time-zone" in shown.out
    assert "Europe/Copenhagen" in shown.out
    assert first_cells(await run(api, "users", "list", "--last-name", "love*", key=key)) == [("1042", "demo")]
    again = await run(api, "users", "add", "1042", *ADA, key=key)
    assert again.status == 2
    assert (await run(api, "users", "remove", "1042", key=key)).out == "removed 1042\n"
    gone = await run(api, "users", "show", "1042", key=key)
    assert gone.err == "ringbridge: no user 1042\n  `ringbridge users list` has those that are there\n"


async def test_a_user_with_devices_is_removed_only_with_them(api: Api) -> None:
    done = await run(api, "users", "remove", "1003@demo")
    assert done.status == 2
    assert "remove what uses it first, or all of it at once with --cascade" in done.err
    assert (await run(api, "users", "remove", "1003@demo", "--cascade")).status == 0


async def test_a_password_is_read_from_standard_input_not_from_the_command_line(api: Api) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "users", "add", "1042", *ADA, "--domain", "demo", "--ask-password"),
        *("--url", api.url, "--key", api.world.super_key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(b"correct horse battery\n")
    assert (process.returncode, out, err) == (0, b"added 1042@demo\n", b"")
    async with api.world.client("") as http:
        form = {"grant_type": "password", "client_id": "ringbridge", "username": "1042@demo"}
        answer = await http.post("/ns-api/v2/tokens", json=form | {"password": "correct horse battery"})
        assert answer.status_code == 200


async def test_every_fault_of_a_user_is_named_by_its_option(api: Api) -> None:
    args = ("--first-name", "A", "--last-name", "B", "--email", "a@b", "--scope", "King")
    done = await run(api, "users", "add", "1 2", *args, "--domain", "demo")
    assert done.status == 2
    assert "  USER: must be 1 to 16 letters, digits and . _ -; found '1 2'" in done.err
    assert "  --scope: " in done.err
    assert "found 'King'; allowed: " in done.err
    bad = await run(api, "users", "add", "1042", *ADA, "--set", "nonsense", "--set", "=1")
    assert bad.err.splitlines() == [
        "ringbridge: --set: found 'nonsense'; allowed: FIELD=VALUE, as time-zone=Europe/Berlin",
        "--set: found '=1'; allowed: FIELD=VALUE, as time-zone=Europe/Berlin",
    ]
    other = await run(api, "users", "show", "1001@demo", "--domain", "other")
    assert "--domain: is 'other', and 1001@demo names another" in other.err
    nameless = await run(api, "users", "show")
    assert "  --domain: is ~, but this token belongs to no domain; name one" in nameless.err


async def test_devices_tell_whether_they_are_registered(api: Api) -> None:
    done = await run(api, "devices", "list", key=api.world.manager_key)
    assert [line.split()[:4] for line in done.out.splitlines()[1:]] == [
        ["1001_desk", "1001", "demo", "registered"],
        ["1002_desk", "1002", "demo", "registered"],
        ["1003_desk", "1003", "demo", "unregistered"],
    ]
    silent = await run(api, "devices", "list", "--not-registered")
    assert first_cells(silent) == [("1003_desk", "1003"), ("1003_desk", "1003")]
    own = await run(api, "devices", "list", "--json", "--registered", key=api.world.user_key)
    assert [one["device"] for one in json.loads(own.out)] == ["1001_desk"]
    assert first_cells(await run(api, "devices", "list", "--user", "1002@other")) == [("1002_desk", "1002")]
    none = await run(api, "devices", "list", "--user", "1003", "--registered", key=api.world.manager_key)
    assert "`ringbridge phone` registers one to try with" in none.err


async def test_a_device_is_added_with_a_password_told_once_shown_and_removed(api: Api) -> None:
    key = api.world.manager_key
    added = await run(api, "devices", "add", "1001_mobile", "--user", "1001", "--model", "Soft phone", key=key)
    assert added.status == 0
    [password] = added.out.splitlines()
    assert len(password) >= 20
    assert "added sip:1001_mobile@demo: the phone logs in as 1001_mobile, with this password: keep it now" in added.err
    stored = await api.world.store.device("demo", "1001_mobile")
    assert stored is not None
    assert with_password(stored, password) == stored
    shown = await run(api, "devices", "show", "1001_mobile", key=key)
    for text in ("sip:1001_mobile@demo", "unregistered", "Soft phone"):
        assert text in shown.out
    assert password not in shown.out
    again = await run(api, "devices", "add", "1001_mobile", "--user", "1001@demo")
    assert (again.status, again.out) == (2, "")
    as_json = await run(api, "devices", "show", "1001_desk@demo", "--user", "1001", "--json")
    assert json.loads(as_json.out)["device-sip-registration-state"] == "registered"
    assert (await run(api, "devices", "remove", "1001_mobile", key=key)).out == "removed 1001_mobile\n"
    gone = await run(api, "devices", "show", "1001_mobile", key=key)
    assert gone.err == (
        "ringbridge: DEVICE: no device 1001_mobile that this key sees\n"
        "  `ringbridge devices list` has those that are there\n"
    )
    of_user = await run(api, "devices", "remove", "1001_mobile", "--user", "1001", key=key)
    assert "`ringbridge devices list` has those that are there" in of_user.err


async def test_a_device_s_password_is_reset_and_told_once(api: Api) -> None:
    key = api.world.manager_key
    before = await api.world.store.device("demo", "1001_desk")
    done = await run(api, "devices", "reset-password", "1001_desk", key=key)
    assert done.status == 0
    [password] = done.out.splitlines()
    assert len(password) >= 20
    assert "keep it now, it is not shown again" in done.err
    after = await api.world.store.device("demo", "1001_desk")
    assert after is not None
    assert after != before
    assert with_password(after, password) == after
    as_json = json.loads((await run(api, "devices", "reset-password", "1001_desk", "--json", key=key)).out)
    assert (as_json["code"], len(as_json["device-sip-registration-password"])) == (202, len(password))
    gone = await run(api, "devices", "reset-password", "1001_none", key=key)
    assert (gone.status, gone.out) == (2, "")
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "devices", "reset-password", "1001_desk", "--ask-password", "--url", api.url, "--key", key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(b"my own word\n")
    assert (process.returncode, out) == (0, b""), err
    own = await api.world.store.device("demo", "1001_desk")
    assert own is not None
    assert with_password(own, "my own word") == own


async def test_a_device_s_name_in_several_domains_is_asked_for_with_its_domain(api: Api) -> None:
    done = await run(api, "devices", "remove", "1001_desk")
    assert done.status == 2
    assert "1001_desk is the name of several; allowed: 1001_desk@demo, 1001_desk@other" in done.err
    assert (await run(api, "devices", "remove", "1001_desk@other")).status == 0
    assert await api.world.store.device("demo", "1001_desk") is not None


async def test_every_fault_of_a_device_is_named_by_its_option(api: Api) -> None:
    done = await run(api, "devices", "add", "a b", "--user", "1001@demo", "--set", "device-srtp-enabled=maybe")
    assert done.status == 2
    assert "\n  DEVICE: " in done.err
    assert "\n  device-srtp-enabled: " in done.err


async def test_tab_completes_devices(api: Api) -> None:
    environment = {"_RINGBRIDGE_COMPLETE": "complete_bash", "COMP_CWORD": "3"} | {
        "COMP_WORDS": "ringbridge devices show 1002",
        "RINGBRIDGE_CLIENT_URL": api.url,
        "RINGBRIDGE_CLIENT_API_KEY": api.world.manager_key,
    }
    process = await asyncio.create_subprocess_exec(PROGRAM, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().split() == ["1002_desk"]


async def test_a_key_is_shown_once_works_and_is_revoked(api: Api) -> None:
    made = await run(api, "keys", "create", "for the tests here", "--domain", "demo", "--user", "1001")
    assert made.status == 0
    [text] = made.out.splitlines()
    assert "for 1001@demo, Basic User: keep it now, it is not shown again" in made.err
    shown = await run(api, "keys", "show", key=text)
    assert "reaches    1001@demo" in shown.out
    assert "may        read and write" in shown.out
    assert text not in shown.out
    key_id = json.loads((await run(api, "keys", "show", "--json", key=text)).out)["key-id"]
    listed = await run(api, "keys", "list")
    assert key_id in listed.out
    assert text not in listed.out
    assert (await run(api, "keys", "revoke", key_id)).out == f"revoked {key_id}\n"
    gone = await run(api, "keys", "revoke", key_id)
    assert gone.status == 2
    assert "`ringbridge keys list` has those that this key rules over" in gone.err


async def test_every_fault_of_a_key_is_named_by_its_option(api: Api) -> None:
    args = ("--from-address", "home", "--model", "fax", "--expires", "never")
    done = await run(api, "keys", "create", "short", *args)
    assert done.status == 2
    for option in ("DESCRIPTION", "--from-address", "--model", "--expires"):
        assert f"\n  {option}: " in done.err


@pytest.mark.parametrize("who", ["user_key", "readonly_key"])
async def test_a_key_that_may_not_is_told_how_to_see_how_far_it_reaches(api: Api, who: str) -> None:
    done = await run(api, "users", "add", "1042", *ADA, "--domain", "demo", key=getattr(api.world, who))
    assert done.status == 2
    assert "`ringbridge keys" in done.err
