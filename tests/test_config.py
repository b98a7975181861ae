import ast
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

import ringbridge
from ringbridge.config import Config, ConfigError, Durability, LogLevel, Role, find_file, load
from ringbridge.config.rates import load_rates


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder, with an empty home, so that no file is found by chance."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def write(text: str, path: Path = Path("ringbridge.toml")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def faults_of(error: pytest.ExceptionInfo[ConfigError]) -> dict[str, tuple[str, str]]:
    return {fault.key: (fault.found, fault.allowed) for fault in error.value.faults}


def test_defaults_are_a_whole_configuration_on_loopback() -> None:
    config = load(environ={})
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8480)
    assert (config.sip.host, config.sip.port) == ("127.0.0.1", 5060)
    assert config.node.roles == {Role.API, Role.ENGINE, Role.RELAY}
    assert config.bus.url is None
    assert config.bus.durability is Durability.STRICT
    assert config.calls.dial_before_s == 30
    assert config.store_path == config.node.data_dir / "ringbridge.db"


def test_later_sources_win_and_leave_the_rest() -> None:
    write("[http]\nport = 1\nhost = '127.0.0.2'\n[sip]\nport = 2\nt1_s = 0.1")
    config = load(overrides={"sip.port": 4}, environ={"RINGBRIDGE_HTTP_PORT": "3", "RINGBRIDGE_SIP_PORT": "3"})
    assert (config.http.host, config.http.port, config.sip.port, config.sip.t1_s) == ("127.0.0.2", 3, 4, 0.1)


def test_override_of_none_is_an_option_that_was_not_given() -> None:
    assert load(overrides={"http.port": None}, environ={"RINGBRIDGE_HTTP_PORT": "3"}).http.port == 3


def test_environment_has_text_only_and_is_read_by_type() -> None:
    config = load(
        environ={
            "RINGBRIDGE_NODE_ROLES": "api, engine",
            "RINGBRIDGE_NODE_DATA_DIR": "~/data",
            "RINGBRIDGE_SIP_T1_S": "0.25",
            "RINGBRIDGE_BUS_URL": "",
            "RINGBRIDGE_LOG_LEVEL": "debug",
            "RINGBRIDGE_NODE_ID": "42",
            "PATH": "/bin",
        }
    )
    assert config.node.roles == {Role.API, Role.ENGINE}
    assert config.node.data_dir == Path("~/data").expanduser()
    assert config.sip.t1_s == 0.25
    assert config.bus.url is None
    assert config.log.level is LogLevel.DEBUG
    assert config.node.id == "42"


def test_overrides_take_values_as_well_as_text() -> None:
    config = load(
        overrides={"node.roles": {"api", "relay"}, "node.data_dir": Path("here"), "http.port": "0"}, environ={}
    )
    assert config.node.roles == {Role.API, Role.RELAY}
    assert config.node.data_dir == Path.cwd() / "here"
    assert config.http.port == 0


def test_every_fault_is_named_at_once_with_what_is_allowed() -> None:
    write(
        "[http]\nport = 65536\nprot = 1\n[htpp]\nport = 1\n"
        "[sip]\nt1_s = 'x'\n[bus]\ndurability = 'maybe'\n[log]\nlevel = 7"
    )
    with pytest.raises(ConfigError) as error:
        load(
            overrides={"node.id": "a b", "nodes.id": "x"},
            environ={"RINGBRIDGE_HTTP_BODY_LIMIT_BYTES": "many", "RINGBRIDGE_HTTP_PROT": "1"},
        )
    faults = faults_of(error)
    assert faults["http.port"] == ("65536", "a whole number from 0 to 65535")
    assert faults["http.prot"] == ("a key that does not exist", "http.port, perhaps")
    assert faults["htpp"] == ("a key that does not exist", "http, perhaps")
    assert faults["sip.t1_s"] == ("'x'", "a number above 0 to 10")
    assert faults["bus.durability"] == ("'maybe'", "strict or relaxed")
    assert faults["log.level"] == ("7", "debug or info or warning or error")
    assert faults["http.body_limit_bytes"] == ("'many'", "a whole number from 1024 to 16777216")
    assert faults["RINGBRIDGE_HTTP_PROT"] == ("a key that does not exist", "RINGBRIDGE_HTTP_PORT, perhaps")
    assert faults["node.id"] == ("'a b'", "text that matches ^[A-Za-z0-9_-]{1,32}\\Z, or nothing")
    assert faults["nodes.id"][1] == "node.id, perhaps"
    assert len(faults) == 10
    assert all(key in str(error.value) for key in faults)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("http.port", -1),
        ("http.port", True),
        ("http.port", "80 80"),
        ("http.host", "a\r\nb"),
        ("http.host", "127.0.0.1\n"),
        ("sip.user_agent", "Ring\r\nVia: x"),
        ("sip.user_agent", "Ring\n"),
        ("sip.t1_s", 0),
        ("sip.t1_s", "nan"),
        ("sip.t2_s", "inf"),
        ("bus.url", "http://127.0.0.1"),
        ("bus.url", "nats://a, nats://b"),
        ("sip.digest_algorithms", ""),
        ("sip.digest_algorithms", "MD5,SHA-1"),
        ("relay.address", "unix:/run/rtpproxy.sock"),
        ("node.roles", ""),
        ("node.roles", "api,brain"),
        ("node.data_dir", ""),
        ("node.data_dir", "a\0b"),
        ("client.url", "ftp://x"),
    ],
)
def test_wrong_value_is_a_fault_of_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        load(overrides={key: value}, environ={})
    assert list(faults_of(error)) == [key]


def test_toml_keeps_its_types() -> None:
    write("[http]\nport = '8480'\nbody_limit_bytes = 2048.0\n[node]\nroles = 'api'")
    with pytest.raises(ConfigError) as error:
        load(environ={})
    assert set(faults_of(error)) == {"http.port", "http.body_limit_bytes", "node.roles"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[sip]\nregister_min_expires_s = 900\nregister_default_expires_s = 600", "sip.register_default_expires_s"),
        ("[sip]\nregister_max_expires_s = 600", "sip.register_default_expires_s"),
        ("[sip]\nt1_s = 5.0", "sip.t2_s"),
        ("[relay]\nport_min = 20000\nport_max = 20002", "relay.port_max"),
        ("[node]\nroles = ['engine']", "bus.url"),
        ("[webhooks]\nallowed_networks = ['10.0.0.0/99']", "webhooks.allowed_networks"),
        ("[sip]\ndenied_networks = ['10.0.0.0/99']", "sip.denied_networks"),
        ("[http]\ntrusted_proxies = ['10.0.0.0/99']", "http.trusted_proxies"),
        ("[http]\nhttps = 'files'", "http.tls_cert"),
        ("[http]\nplain = 'no'", "http.plain"),
    ],
)
def test_fields_may_not_contradict_each_other(text: str, key: str) -> None:
    write(text)
    with pytest.raises(ConfigError) as error:
        load(environ={})
    assert list(faults_of(error)) == [key]


def test_secret_is_not_repeated_in_a_fault() -> None:
    with pytest.raises(ConfigError) as error:
        load(environ={"RINGBRIDGE_CLIENT_API_KEY": "nsu_käse"})
    assert list(faults_of(error)) == ["client.api_key"]
    assert "käse" not in str(error.value)


@pytest.mark.parametrize("text", ["[http", "http = 1", "\ufeff\0"])
def test_broken_file_is_one_fault_that_names_the_file(text: str) -> None:
    path = write(text, Path("broken.toml"))
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load(path, environ={})


def test_file_that_is_no_text_is_a_fault() -> None:
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(Path("binary.toml"), environ={})


def test_file_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load(Path("gone.toml"), environ={})
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load(environ={"RINGBRIDGE_CONFIG": "gone.toml"})


def test_file_is_looked_for_from_near_to_far() -> None:
    assert find_file(environ={}) is None
    at_home = write("", Path.home() / ".config" / "ringbridge" / "ringbridge.toml")
    assert find_file(environ={}) == at_home
    here = write("")
    assert find_file(environ={}) == here
    assert find_file(environ={"RINGBRIDGE_CONFIG": "named.toml"}) == Path("named.toml")
    assert find_file(Path("given.toml"), environ={"RINGBRIDGE_CONFIG": "named.toml"}) == Path("given.toml")


def test_tree_cannot_be_changed() -> None:
    config = load(environ={})
    with pytest.raises(AttributeError):
        config.http.port = 1  # type: ignore[misc] # it is the refusal that is tested


@pytest.mark.parametrize(
    ("overrides", "sip", "media"),
    [
        ({}, "127.0.0.1", "127.0.0.1"),
        ({"sip.public_address": "192.0.2.1"}, "192.0.2.1", "192.0.2.1"),
        ({"sip.public_address": "192.0.2.1", "relay.host": "192.0.2.2"}, "192.0.2.1", "192.0.2.2"),
    ],
)
def test_public_addresses_follow_the_nearest_that_is_given(overrides: dict[str, object], sip: str, media: str) -> None:
    config = load(overrides=overrides, environ={})
    assert (config.sip_address, config.media_address) == (sip, media)


def test_every_field_is_read_somewhere() -> None:
    package = Path(ringbridge.__file__).parent
    read = {
        node.attr
        for path in package.rglob("*.py")
        if path.parent.name != "config"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    for section in msgspec.structs.fields(Config):
        assert {entry.name for entry in msgspec.structs.fields(section.type)} - read == set()


def test_every_number_of_time_or_size_has_its_unit_in_its_name() -> None:
    bare = {"port", "https_port", "port_min", "port_max", "replicas", "most_kept"}
    bare |= {"streams", "streams_per_token", "streams_per_address"}
    for section in msgspec.structs.fields(Config):
        for entry in msgspec.structs.fields(section.type):
            value = getattr(section.default, entry.name)
            if isinstance(value, int | float) and entry.name not in bare:
                assert entry.name.endswith(("_s", "_bytes")), entry.name


def test_a_rate_table_is_a_file_of_its_own() -> None:
    path = write('"45" = 0.02\n"" = 1\n', Path("rates.toml"))
    rates = load_rates(path)
    assert rates is not None
    assert rates.price("+4531234567") == Decimal("0.02")
    assert load_rates(None) is None


@pytest.mark.parametrize("text", ["45 0.02", '"abc" = 1', "\udcff"])
def test_a_wrong_rate_table_is_a_fault_of_its_key(text: str) -> None:
    path = Path("rates.toml")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as error:
        load_rates(path)
    assert set(faults_of(error)) == {"calls.rate_table"}
    with pytest.raises(ConfigError):
        load_rates(Path("nowhere.toml"))
