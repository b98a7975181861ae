"""`ringbridge demo`: everything on one machine, with two phones, and a real call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli import options

if TYPE_CHECKING:
    from ringbridge.config import Config


def demo(  # noqa: PLR0913 - one argument an option
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the first call; status 0 if all of it worked.")
    ] = False,
    http: options.Http = None,
    sip: options.Sip = None,
    data: options.Data = None,
    bus: options.Bus = None,
    public_address: options.PublicAddress = None,
    durability: options.DurabilityOption = None,
    log_level: options.LogLevelOption = None,
    config: options.ConfigFile = None,
) -> None:
    """Start everything with a sample domain and two phones, place one call over HTTP, and show it as it happens.

    Then it serves until Ctrl-C, and shows the calls that you place. Without --data all is gone afterwards.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from ringbridge.cli.terminal import Style, Terminal

    Terminal().line("Ringbridge demo", Style.BOLD)  # the imports take a second or two

    from ringbridge import logs
    from ringbridge.cli.demo_stage import run_demo, spare_ports
    from ringbridge.cli.running import run

    folder = Path(tempfile.mkdtemp(prefix="ringbridge-demo-")) if data is None else data
    try:
        overrides = options.node_overrides(
            http=http,
            sip=sip,
            data=folder,
            bus=bus,
            roles=None,
            public_address=public_address,
            durability=durability,
            log_level=log_level or "warning",
        )
        settings: Config = options.load_config(config, spare_ports(overrides))
        logs.set_up(settings.log)
        status = run(lambda stop: run_demo(settings, stop, once=once, is_kept=data is not None))
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(status)
