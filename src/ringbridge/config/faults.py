"""What can be wrong with a configuration, and how it is said: every fault, each with key, finding and remedy."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that must be mended before the program starts."""

    key: str
    found: str
    allowed: str
    source: str

    def __str__(self) -> str:
        return f"{self.key}: found {self.found} ({self.source}); allowed: {self.allowed}"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` names everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("the configuration has faults:\n" + "\n".join(f"  {fault}" for fault in self.faults))


def describe_allowed(kind: msgspec.inspect.Type) -> str:
    """Say in words which values `kind` takes."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return describe_allowed(inner)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            noun = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
            return noun + _bounds(kind)
        case msgspec.inspect.StrType(pattern=pattern):
            return f"text that matches {pattern}" if pattern else "text"
        case msgspec.inspect.EnumType(cls=cls):
            return " or ".join(str(member.value) for member in cls)
        case msgspec.inspect.NoneType():
            return "nothing"
        case msgspec.inspect.UnionType(types=types):
            return ", or ".join(describe_allowed(one) for one in types)
        case msgspec.inspect.FrozenSetType(item_type=item):
            return f"one or more of: {describe_allowed(item)}"
        case msgspec.inspect.CustomType():
            return "a path"
        case _:
            return type(kind).__name__


def _bounds(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    parts = [f"{word} {getattr(kind, name)}" for name, word in words.items() if getattr(kind, name) is not None]
    return " " + " ".join(parts) if parts else ""
