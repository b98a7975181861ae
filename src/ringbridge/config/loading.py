"""Reads TOML, `RINGBRIDGE_*` variables and command-line values into one tree, later ones winning."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from ringbridge.config.faults import ConfigError, Fault, describe_allowed
from ringbridge.config.sections import Config, Https, Plain, Section

FILE_NAME = "ringbridge.toml"
PREFIX = "RINGBRIDGE_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
COMMAND_LINE = "command line"

_SECTIONS: dict[str, type[Section]] = {
    section.name: section.type for section in msgspec.structs.fields(Config) if issubclass(section.type, Section)
}
_FIELDS: dict[str, msgspec.structs.FieldInfo] = {
    f"{name}.{entry.name}": entry for name, section in _SECTIONS.items() for entry in msgspec.structs.fields(section)
}
_VARIABLES: dict[str, str] = {PREFIX + key.replace(".", "_").upper(): key for key in _FIELDS}


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was found; text from outside TOML is read leniently, since it has no types."""

    value: object
    source: str
    typed: bool


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Return the whole configuration: defaults, then TOML, then environment, then `overrides`.

    Args:
        path: the TOML file; None looks for one as `find_file` says.
        overrides: dotted key (`http.port`) → value from the command line; None means not given.
        environ: the environment; None is the process's own.

    Raises:
        ConfigError: with every fault found, not just the first.
    """
    return load_with_sources(path, overrides, environ=environ)[0]


def load_with_sources(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> tuple[Config, dict[str, str]]:
    """Return what `load` returns, and for each dotted key that is given where: a file, a variable, the command line."""
    environ = os.environ if environ is None else environ
    faults: list[Fault] = []
    given: dict[str, _Given] = {}
    given |= _from_file(find_file(path, environ), faults)
    given |= _from_environment(environ, faults)
    given |= _from_overrides(overrides or {}, faults)
    values = {key: value for key, one in given.items() if (value := _convert(key, one, faults)) is not _INVALID}
    config = _assemble(values)
    faults += _contradictions(config, given)
    if faults:
        raise ConfigError(faults)
    return config, {key: one.source for key, one in given.items()}


def find_file(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file to read: `path`, `RINGBRIDGE_CONFIG`, `./ringbridge.toml`, the user's folder, or None.

    The first two are returned whether they exist or not, since somebody asked for them.
    """
    environ = os.environ if environ is None else environ
    if path is not None:
        return path
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    places = (Path(FILE_NAME), platformdirs.user_config_path("ringbridge", appauthor=False) / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def _from_file(path: Path | None, faults: list[Fault]) -> dict[str, _Given]:
    if path is None:
        return {}
    source = str(path)
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        faults.append(Fault("file", error.strerror or str(error), "a file that can be read", source))
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault("file", str(error), "TOML 1.0 in UTF-8", source))
        return {}
    given: dict[str, _Given] = {}
    for name, section in tree.items():
        if name not in _SECTIONS:
            faults.append(_unknown(name, _SECTIONS, source))
        elif not isinstance(section, dict):
            faults.append(Fault(name, repr(section), f"a table, [{name}]", source))
        else:
            given |= {f"{name}.{key}": _Given(value, source, typed=True) for key, value in section.items()}
    return _known(given, faults)


def _from_environment(environ: Mapping[str, str], faults: list[Fault]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable in _VARIABLES:
            given[_VARIABLES[variable]] = _Given(environ[variable], variable, typed=False)
        else:
            faults.append(_unknown(variable, _VARIABLES, "environment"))
    return given


def _from_overrides(overrides: Mapping[str, object], faults: list[Fault]) -> dict[str, _Given]:
    given = {key: _Given(value, COMMAND_LINE, typed=False) for key, value in overrides.items() if value is not None}
    return _known(given, faults)


def _known(given: Mapping[str, _Given], faults: list[Fault]) -> dict[str, _Given]:
    faults += [_unknown(key, _FIELDS, one.source) for key, one in given.items() if key not in _FIELDS]
    return {key: one for key, one in given.items() if key in _FIELDS}


def _unknown(key: str, names: Mapping[str, object], source: str) -> Fault:
    near = difflib.get_close_matches(key, names, n=1)
    return Fault(key, "a key that does not exist", f"{near[0]}, perhaps" if near else ", ".join(names), source)


_INVALID = object()


def _convert(key: str, given: _Given, faults: list[Fault]) -> object:
    kind = msgspec.inspect.type_info(_FIELDS[key].type)
    value = given.value
    if not given.typed and isinstance(value, str):
        value = _from_text(value, kind)
    try:
        return msgspec.convert(value, _FIELDS[key].type, strict=given.typed, dec_hook=_decode_path)
    except msgspec.ValidationError:
        found = "a secret that is not shown" if is_secret(kind) else repr(given.value)
        faults.append(Fault(key, found, describe_allowed(kind), given.source))
        return _INVALID


def _from_text(text: str, kind: msgspec.inspect.Type) -> object:
    """Read what TOML would have told apart: a list, and nothing at all."""
    match kind:
        case msgspec.inspect.FrozenSetType():
            return [part.strip() for part in text.split(",") if part.strip()]
        case msgspec.inspect.UnionType() if not text:
            return None
        case _:
            return text


def _decode_path(kind: type, value: object) -> Any:
    """Return an absolute path, since child processes may stand in another folder."""
    if kind is Path and isinstance(value, str | Path) and str(value) and "\0" not in str(value):
        return Path(value).expanduser().absolute()
    raise ValueError("not a path")


def is_secret(kind: msgspec.inspect.Type) -> bool:
    """Whether a value of `kind` may hold a password, and so is never shown."""
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra=extra):
            return bool(extra and extra.get("secret")) or is_secret(inner)
        case msgspec.inspect.UnionType(types=types):
            return any(is_secret(one) for one in types)
        case _:
            return False


def _assemble(values: Mapping[str, Any]) -> Config:
    sections: dict[str, Any] = {
        name: section(**{key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")})
        for name, section in _SECTIONS.items()
    }
    return Config(**sections)


def _contradictions(config: Config, given: Mapping[str, _Given]) -> list[Fault]:
    """Return faults between fields that are each right for themselves."""
    sip, relay, roles, http = config.sip, config.relay, config.node.roles, config.http
    rules = (
        ("http.tls_cert", "nothing", http.https is not Https.FILES or http.tls_cert is not None, "a file, for `files`"),
        ("http.plain", "no", http.plain is Plain.YES or http.https is not Https.OFF, "yes, where there is no HTTPS"),
        (
            "sip.register_default_expires_s",
            sip.register_default_expires_s,
            sip.register_min_expires_s <= sip.register_default_expires_s <= sip.register_max_expires_s,
            f"from {sip.register_min_expires_s} to {sip.register_max_expires_s}, the least and most that are granted",
        ),
        ("sip.t2_s", sip.t2_s, sip.t2_s >= sip.t1_s, f"from sip.t1_s ({sip.t1_s})"),
        (
            "relay.port_max",
            relay.port_max,
            relay.port_max >= relay.port_min + 3,
            f"from relay.port_min + 3 ({relay.port_min + 3}): a call takes four",
        ),
        (
            "bus.url",
            "nothing",
            config.bus.url is not None or len(roles) > 1,
            "the address of a bus, when a node has one role alone",
        ),
    )
    networks = tuple(
        (key, network, _is_network(network), "a network, as 10.1.0.0/16")
        for key, listed in (
            ("webhooks.allowed_networks", config.webhooks.allowed_networks),
            ("http.trusted_proxies", http.trusted_proxies),
            ("sip.denied_networks", sip.denied_networks),
        )
        for network in sorted(listed)
    )
    return [
        Fault(key, str(found), allowed, given[key].source if key in given else "default")
        for key, found, holds, allowed in (*rules, *networks)
        if not holds
    ]


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
