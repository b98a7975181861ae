"""A command line of which every fault is told at once; typer alone stops at the first."""

from __future__ import annotations

from typing import Final

# typer has its own copy of click, which is no dependency of ours.
from typer._click.core import Context
from typer._click.exceptions import UsageError
from typer.core import TyperCommand

_NEXT: Final = "\nError: "
"""Between faults, as the first of them begins."""


class Command(TyperCommand):
    """A command that names every argument and option which is wrong."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Take the command line.

        Raises:
            UsageError: something is wrong with it; its message says everything.
        """
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError:
            faults = self._faults(ctx, given)
            if len(faults) < 2:
                raise
            raise UsageError(_NEXT.join(faults), ctx) from None

    def _faults(self, ctx: Context, args: list[str]) -> list[str]:
        """Return what is wrong with each argument and option; with the line as such, nothing."""
        try:
            values, _, _ = self.make_parser(ctx).parse_args(args)
        except UsageError:
            return []
        faults = []
        for parameter in self.get_params(ctx):
            try:
                parameter.handle_parse_result(ctx, values, [])
            except UsageError as fault:
                faults.append(fault.format_message())
        return faults
