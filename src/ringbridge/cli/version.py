"""`ringbridge version`."""

from __future__ import annotations


def version() -> None:
    """Show the version of Ringbridge."""
    from ringbridge import __version__

    print(f"ringbridge {__version__}")
