"""The tuned interpreter: in a process of its own, since it stays tuned."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import enum
import ringbridge.main
from ringbridge.interpreter import settle_down

def enumerations(kind):
    for one in kind.__subclasses__():
        yield one
        yield from enumerations(one)

settle_down()
found = [one for one in enumerations(enum.Enum) if one.__members__]
assert len(found) > 50, len(found)
for one in found:
    for name, member in one.__members__.items():
        assert getattr(one, name) is member, (one, name)
    try:
        one.no_such_member
    except AttributeError:
        continue
    raise AssertionError(one)
assert type(enum.Enum).__getattribute__ is type.__getattribute__
assert not hasattr(type(enum.Enum), "__getattr__")
"""


def test_every_member_of_every_enumeration_is_still_its_attribute() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
