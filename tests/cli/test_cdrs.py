"""`ringbridge cdrs` against the API: in each of its three schemas."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from ringbridge.cli.cdr_tables import as_time
from ringbridge.model.release import HUNG_UP, of_sip_status
from tests.cli.conftest import Api
from tests.cli.forked import Outcome, command
from tests.cli.stories import CLAIMED, ended, joined
from tests.cli.test_calls import place


async def cdrs(api: Api, *args: str, key: str | None = None) -> Outcome:
    return await command("cdrs", *args, "--url", api.url, "--key", key or api.world.super_key)


@pytest.fixture
async def history(api: Api) -> Api:
    """One call that was answered, `click-1`, and one that was not, `click-2`."""
    api.engine.script = [*joined(), ended(HUNG_UP)]
    await place(api, "click-1", state="ended")
    api.engine.script = [[CLAIMED], ended(of_sip_status(486))[1:]]
    await place(api, "click-2", state="ended")
    return api


@pytest.mark.parametrize("args", [(), ("--domain", "demo"), ("--domain", "demo", "--user", "1001")])
async def test_the_table_tells_the_same_in_every_schema(history: Api, args: tuple[str, ...]) -> None:
    done = await cdrs(history, "list", *args)
    assert (done.status, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head.split() == ["STARTED", "FROM", "TO", "TYPE", "TALKED", "TOTAL", "RESULT", "BY", "DOMAIN", "CALL-ID"]
    rows = {line.split()[-1]: line.split() for line in lines}
    assert set(rows) == {"click-1", "click-2"}
    for row in rows.values():
        assert row[2:4] == ["1001", "1002"]
        assert row[-3:-1] == ["1001", "demo"]
    assert "completed" in rows["click-1"]
    assert "busy" in rows["click-2"]


async def test_filters_narrow_the_list(history: Api) -> None:
    for args, total in (
        (("--from", "1001", "--to", "1002"), 2),
        (("--to", "1003"), 0),
        (("--since", "2020-01-01", "--until", "2020-01-02"), 0),
        (("--limit", "1"), 1),
    ):
        assert len(json.loads((await cdrs(history, "list", "--json", *args)).out)) == total, args


async def test_csv_has_every_field_and_every_call(history: Api) -> None:
    done = await cdrs(history, "list", "--csv", "--domain", "demo")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["call-id"] for row in rows} == {"click-1", "click-2"}
    assert {row["release-result"] for row in rows} == {"completed", "busy"}
    both = await cdrs(history, "list", "--csv", "--json")
    assert (both.status, both.err) == (2, "ringbridge: --csv and --json: only one of them can be had\n")


async def test_one_is_shown_and_all_are_counted(history: Api) -> None:
    shown = await cdrs(history, "show", "click-2")
    assert "release-cause" in shown.out
    assert "busy (486)" in shown.out
    assert json.loads((await cdrs(history, "show", "click-1", "--json")).out)["call-id"] == "click-1"
    assert (await cdrs(history, "count", key=history.world.user_key)).out.startswith("2 calls, 0:")


async def test_every_fault_is_named_by_its_option(api: Api) -> None:
    done = await cdrs(api, "list", "--since", "yesterday", "--type", "lost")
    assert done.status == 2
    assert "  --since: must be a time as" in done.err
    assert "found 'yesterday'" in done.err
    assert "  --type: must be one of: Inbound, Outbound" in done.err


def test_times_before_now() -> None:
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    assert as_time("2h", now) == "2026-11-25T10:00:00+00:00"
    assert as_time("7d", now) == "2026-11-18T12:00:00+00:00"
    assert as_time("999999w", now) == "999999w"
    assert as_time("2026-11-24", now) == "2026-11-24"
