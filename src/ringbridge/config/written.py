"""A configuration as a TOML file that `serve --config` takes: every key, what it means, and where it is set.

What a key means is the docstring below its field in `sections`, so that there is one text for who reads the source and
for who runs the program.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

import msgspec

from ringbridge.config import sections
from ringbridge.config.faults import describe_allowed
from ringbridge.config.loading import PREFIX, is_secret
from ringbridge.config.sections import Config, Section

WIDTH = 100
DEFAULT = "default"


def write(config: Config, sources: Mapping[str, str]) -> str:
    """Return `config` as TOML: a key of `sources` (dotted key → where it is given) is set, the others are comments.

    A secret that is given is not shown: its line is a comment that names where it is.
    """
    return "\n".join(_lines(config, sources)) + "\n"


def _lines(config: Config, sources: Mapping[str, str]) -> Iterator[str]:
    told = _docstrings()
    yield from _comment(
        f"Ringbridge's configuration. A key also has a variable, `http.port` {PREFIX}HTTP_PORT, which wins over this "
        "file; an option of the command line wins over both. What is commented out is the default."
    )
    for entry in msgspec.structs.fields(config):
        section: Section = getattr(config, entry.name)
        yield ""
        yield from _comment(told[type(section).__name__, ""])
        yield f"[{entry.name}]"
        for one in msgspec.structs.fields(section):
            yield ""
            kind = msgspec.inspect.type_info(one.type)
            yield from _comment(told[type(section).__name__, one.name].replace("None:", "Not set:"))
            yield from _comment(f"Allowed: {describe_allowed(kind)}.")
            yield from _setting(
                one.name, getattr(section, one.name), sources.get(f"{entry.name}.{one.name}"), secret=is_secret(kind)
            )


def _setting(name: str, value: object, source: str | None, *, secret: bool) -> Iterator[str]:
    if source is None:
        yield f"# {name} = {_toml(value)}" if value is not None else f"# {name} is not set"
    elif secret:
        yield f"# {name} is not shown; it is given by {source}"
    else:
        yield from _comment(f"Given by {source}.")
        yield f"{name} = {_toml(value)}" if value is not None else f"# {name} is not set"


def _toml(value: object) -> str:
    match value:
        case Enum():
            return json.dumps(value.value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case frozenset():
            return "[" + ", ".join(sorted(_toml(one) for one in value)) + "]"
        case _:
            return str(value)


def _comment(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield from ("# " + line for line in textwrap.wrap(" ".join(paragraph.split()), WIDTH - 2))


def _docstrings() -> dict[tuple[str, str], str]:
    """Return what is said of each section, (class, ""), and of each field, (class, field)."""
    told: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(sections)).body:
        if isinstance(node, ast.ClassDef):
            told[node.name, ""] = ast.get_docstring(node) or ""
            for field, text in zip(node.body, node.body[1:], strict=False):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                        told[node.name, name] = said
    return told
