"""A command line of which every fault is told at once; typer alone stops at the first."""

from __future__ import annotations

from typing import Final

# typer has its own copy of click, which is no dependency of ours.
from typer._click.core import Context
from typer._click.exceptions import NoSuchOption, UsageError
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
        """Return what is wrong with each argument and option; with the line as such, nothing.

        Beside an option that there is not, nothing is said of arguments: what follows it may be its value, or one.
        """
        unknown: list[str] = []
        left = list(args)
        values: dict[str, object] | None = None
        while values is None:
            try:
                values, _, _ = self.make_parser(ctx).parse_args(list(left))
            except NoSuchOption as fault:
                unknown.append(fault.format_message())
                place = next((n for n, arg in enumerate(left) if arg.partition("=")[0] == fault.option_name), None)
                if place is None:  # a letter among several
                    return unknown
                del left[place]
            except UsageError:
                return unknown
        faults = list(unknown)
        for parameter in self.get_params(ctx):
            if unknown and parameter.param_type_name != "option":
                continue
            try:
                parameter.handle_parse_result(ctx, values, [])
            except UsageError as fault:
                faults.append(fault.format_message())
        return faults
