"""Keeping one binding at a registrar (RFC 3261 §10.2)."""

from __future__ import annotations


class Registration:
    """One binding kept at a registrar; the application's handle, compared by identity."""

    __slots__ = ()
