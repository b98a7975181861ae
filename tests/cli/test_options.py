"""Addresses as people write them, and the program's first impression."""

import asyncio

import pytest

from ringbridge.cli import COMMANDS, GROUPS, build
from ringbridge.cli.options import node_overrides, split_address
from tests.cli.conftest import PROGRAM
from tests.cli.forked import command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5060", ("127.0.0.1", 5060)),
        (":8480", ("", 8480)),
        ("8480", ("", 8480)),
        ("example.org", ("example.org", None)),
        ("[::1]:5060", ("::1", 5060)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int | None]) -> None:
    assert split_address(text, option="--sip") == expected


@pytest.mark.parametrize("text", ["127.0.0.1:", "a b", "host:port", "[::1", "::1]:5", "1:2:3:x"])
def test_what_is_no_address_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        split_address(text, option="--sip")
    assert "--sip" in capsys.readouterr().err


def test_what_is_not_given_changes_nothing() -> None:
    overrides = node_overrides(
        http=None,
        sip=":5070",
        data=None,
        bus=None,
        roles=["api", "engine"],
        public_address=None,
        durability=None,
        log_level=None,
    )
    assert {key: value for key, value in overrides.items() if value is not None} == {
        "sip.port": 5070,
        "node.roles": "api,engine",
    }


async def test_help_names_the_commands() -> None:
    done = await command("--help")
    assert done.status == 0
    for name in (*COMMANDS, *GROUPS):
        assert f"\n  {name} " in done.out


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    build()([name, "--help"], prog_name="ringbridge", standalone_mode=False)
    assert f"Usage: ringbridge {name}" in capsys.readouterr().out


async def test_a_setting_that_cannot_be_is_named() -> None:
    done = await command("serve", "--durability", "perhaps")
    assert done.status == 2
    assert "bus.durability" in done.err


@pytest.mark.parametrize(
    ("words", "offered"),
    [("ringbridge c", "calls"), ("ringbridge calls tr", "transfer"), ("ringbridge cdrs list --type mi", "missed")],
)
async def test_a_shell_is_told_what_may_come_next(words: str, offered: str) -> None:
    environment = {"_RINGBRIDGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    process = await asyncio.create_subprocess_exec(PROGRAM, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert offered in out.decode().split()


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        (("bench", "calls", "--rate", "x", "--rows", "5"), ["--rate", "--rows"]),
        (("users", "add", "--first-name", "Ada", "--scope", "x"), ["USER", "--last-name", "--email"]),
        (("calls", "list", "--limit", "0"), ["--limit"]),
        (("calls", "list", "--nonsense"), ["--nonsense"]),
        (("calls", "list", "--nonsense", "5", "--limit", "0", "--wrong=x"), ["--nonsense", "--wrong", "--limit"]),
        (("devices", "show", "--nonsense", "-x"), ["--nonsense", "-x"]),
    ],
)
async def test_every_fault_of_a_command_line_is_told_at_once(line: tuple[str, ...], faults: list[str]) -> None:
    done = await command(*line)
    assert (done.status, done.out) == (2, "")
    told = [text for text in done.err.splitlines() if text.startswith("Error: ")]
    assert len(told) == len(faults)
    for text, fault in zip(told, faults, strict=True):
        assert fault in text
