"""`ringbridge export` against the API."""

from pathlib import Path

from ringbridge.model.directory import Connection, DialRule, PhoneNumber
from tests.cli.conftest import Api
from tests.cli.forked import command


async def test_what_is_exported_changes_nothing_when_it_is_applied(api: Api, tmp_path: Path) -> None:
    api.world.put(
        PhoneNumber("demo", "4570102031", user="1001", other={"dial-rule-description": "yes"}),
        DialRule(
            "demo", "demo", "all", "sip:*@*", dial_rule_application="to-connection", dial_rule_parameter="carrier"
        ),
        Connection(
            "demo", "carrier", connection_sip_registration_password="trunk-secret", other={"call-routing": "{}"}
        ),
    )
    file = tmp_path / "directory.yaml"
    common = ("--url", api.url, "--key", api.world.super_key)
    done = await command("export", file, *common)
    assert (done.status, done.out, done.err) == (0, "", "")
    text = file.read_text()
    assert text.startswith("# The directory of")
    assert "secret" not in text
    before = api.world.writes
    applied = await command("apply", file, *common)
    assert (applied.status, applied.out) == (0, "nothing to change\n"), applied.err
    assert api.world.writes == before


async def test_one_domain_goes_to_the_terminal(api: Api) -> None:
    done = await command("export", "--domain", "other", "--url", api.url, "--key", api.world.super_key)
    assert done.status == 0
    assert "domain: other" in done.out
    assert "domain: demo" not in done.out
    done = await command("export", "--domain", "nowhere", "--url", api.url, "--key", api.world.super_key)
    assert (done.status, done.err) == (2, "ringbridge: no domain nowhere\n")


async def test_a_key_that_rules_over_nothing_exports_nothing(api: Api) -> None:
    done = await command("export", "--url", api.url, "--key", api.world.user_key)
    assert done.status == 2
    assert done.out == ""
