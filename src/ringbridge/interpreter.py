"""The Python interpreter, tuned for a long run of many calls; nothing here changes what a program does."""

from __future__ import annotations

import enum
import gc
import sys


def settle_down() -> None:
    """Tune the interpreter, once everything is loaded.

    What is loaded by now stays for ever, so the collector need not look at it again. Calls make few cycles, so it need
    not look often; but everything stands still while it does, so it looks before there is much to look at. The store's
    writer is a thread of its own: with the default of 5 ms it would keep the event loop from its work for that long at
    each turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    sys.setswitchinterval(0.0005)
    read_members_as_attributes()


def read_members_as_attributes() -> None:
    """Take from `EnumType` a hook that Python 3.11 still has and never needs; 3.12 has dropped it.

    Members are attributes of their class and found before the hook is asked; but a type that has it reads every
    attribute the long way, in 0.3 µs instead of 0.05. A call reads 600 members: 6 % of its CPU.
    """
    if "__getattr__" in vars(enum.EnumType):
        delattr(enum.EnumType, "__getattr__")
