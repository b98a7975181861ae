"""The configuration written out: a file that says what every key means, and is itself a configuration."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from ringbridge.config import Config, load_with_sources
from ringbridge.config.written import write
from tests.cli.forked import command


def written(environ: dict[str, str], path: Path | None = None) -> str:
    return write(*load_with_sources(path, environ=environ))


def keys() -> set[str]:
    return {
        f"{section.name}.{field.name}"
        for section in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(section.type)
    }


def test_what_is_not_set_is_a_comment_with_its_default(tmp_path: Path) -> None:
    text = written({})
    assert all(table == {} for table in tomllib.loads(text).values())
    # With the comments of its settings taken away it is a configuration: the defaults, each said to be given.
    (tmp_path / "all.toml").write_text(re.sub(r"(?m)^# (?=[a-z_0-9]+ = )", "", text))
    given, sources = load_with_sources(tmp_path / "all.toml", environ={})
    assert given == load_with_sources(environ={})[0]
    unset = set(re.findall(r"(?m)^# ([a-z_0-9]+) is not set$", text))
    assert keys() - set(sources) == {key for key in keys() if key.partition(".")[2] in unset and key not in sources}
    assert len(sources) > 50


def test_every_key_is_explained() -> None:
    text = written({})
    for key in keys():
        name = key.partition(".")[2]
        block = re.search(rf"\n\n((?:#[^\n]*\n)+)# {name} (?:=|is not set)", text)
        assert block, key
        assert block[1].index("# Allowed: ") > 10, key


def test_what_is_set_says_where_and_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("rb.toml")
    file.write_text('[http]\nport = 8081\ntrusted_proxies = ["10.2.0.0/16", "10.1.0.0/16"]\n[node]\nroles = ["api"]\n')
    text = written({"RINGBRIDGE_BUS_URL": "nats://10.0.0.1:4222", "RINGBRIDGE_SIP_T1_S": "0.25"}, file)
    assert "# Given by RINGBRIDGE_SIP_T1_S.\nt1_s = 0.25\n" in text
    assert "# Given by rb.toml.\nport = 8081\n" in text
    tables = {name: table for name, table in tomllib.loads(text).items() if table}
    assert tables == {
        "node": {"roles": ["api"]},
        "http": {"port": 8081, "trusted_proxies": ["10.1.0.0/16", "10.2.0.0/16"]},
        "sip": {"t1_s": 0.25},
    }


def test_a_secret_is_not_shown() -> None:
    text = written(
        {"RINGBRIDGE_BUS_URL": "nats://ada:pa55word@10.0.0.1:4222", "RINGBRIDGE_CLIENT_API_KEY": "nsu_pa55word"}
    )
    assert "pa55word" not in text
    assert "# url is not shown; it is given by RINGBRIDGE_BUS_URL\n" in text
    assert "# api_key is not shown; it is given by RINGBRIDGE_CLIENT_API_KEY\n" in text


async def test_the_command_tells_all_faults_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rb.toml").write_text("[http]\nport = 70000\n[sipp]\nport = 1\n")
    told = await command("config", "--config", tmp_path / "rb.toml")
    assert (told.status, told.out) == (2, "")
    assert "http.port: found 70000" in told.err
    assert "sipp: found a key that does not exist" in told.err
    shown = await command("config")
    assert shown.status == 0
    assert "\n# port = 8480\n" in shown.out
