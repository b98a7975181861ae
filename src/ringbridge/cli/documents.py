"""Directory documents: YAML in, plain values out, and where each of them stands in the file; and YAML out.

Every scalar stays text, as the API takes it: in YAML's own reading `0045` would become 37 and `no` a boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import yaml

Value: TypeAlias = "dict[str, Value] | list[Value] | str | None"

_PLAIN: dict[str, str | None] = {"": None, "~": None, "null": None, "true": "yes", "false": "no"}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_DEEPEST = 20


class DocumentError(Exception):
    """The file is not a document; the message says where and why."""


def yaml_text(document: Mapping[str, object]) -> str:
    """Return `document` as YAML that `YamlDocument` reads as the same texts."""
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


class YamlDocument:
    """One file: `value` is what it says, `line_of` tells where."""

    def __init__(self, name: str, text: str) -> None:
        """Read `text`; `name` is what messages call it.

        Raises:
            DocumentError: it is not YAML, names a key twice, or is not a mapping.
        """
        self.name = name
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise DocumentError(f"{name}: {error}") from error
        if not isinstance(root, yaml.MappingNode):
            raise DocumentError(f"{name}: must be a mapping that begins with `domains:`")
        self._root = root
        self.value = self._read(root, depth=0)

    @classmethod
    def of_file(cls, path: Path) -> YamlDocument:
        """Return the document in a file.

        Raises:
            DocumentError: the file cannot be read, or as above.
        """
        try:
            return cls(str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"{path}: {error}") from error

    def line_of(self, path: str) -> int:
        """Return the line (from 1) of `domains[0].users[1].user`, or of the nearest thing around it."""
        node: yaml.Node = self._root
        line = node.start_mark.line
        for found in _STEP.finditer(path):
            below = self._below(node, found[1], found[2])
            if below is None:
                break
            mark, node = below
            line = mark
        return line + 1

    @staticmethod
    def _below(node: yaml.Node, name: str | None, place: str | None) -> tuple[int, yaml.Node] | None:
        if name is not None and isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == name:
                    return key.start_mark.line, value
        if place is not None and isinstance(node, yaml.SequenceNode) and int(place) < len(node.value):
            item = node.value[int(place)]
            return item.start_mark.line, item
        return None

    def _read(self, node: yaml.Node, *, depth: int) -> Value:
        if depth > _DEEPEST:
            raise DocumentError(f"{self.name}:{node.start_mark.line + 1}: nested more than {_DEEPEST} deep")
        match node:
            case yaml.MappingNode():
                return {name: self._read(value, depth=depth + 1) for name, value in self._pairs(node)}
            case yaml.SequenceNode():
                return [self._read(item, depth=depth + 1) for item in node.value]
            case yaml.ScalarNode(style=None):
                return _PLAIN.get(node.value, node.value)
            case _:
                return str(node.value)

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, value in node.value:
            where = f"{self.name}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise DocumentError(f"{where}: a key must be a word")
            if key.value in seen:
                raise DocumentError(f"{where}: {key.value} is there twice")
            seen.add(key.value)
            if not (isinstance(value, yaml.ScalarNode) and value.style is None and _PLAIN.get(value.value, "") is None):
                yield key.value, value
