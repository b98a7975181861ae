"""`ringbridge serve`: everything for real phones, or one part of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringbridge.cli import options

if TYPE_CHECKING:
    from ringbridge.main import Node


def serve(  # noqa: PLR0913 - one argument an option
    *,
    http: options.Http = None,
    https: options.HttpsOption = None,
    sip: options.Sip = None,
    data: options.Data = None,
    bus: options.Bus = None,
    role: options.Roles = None,
    public_address: options.PublicAddress = None,
    durability: options.DurabilityOption = None,
    log_level: options.LogLevelOption = None,
    config: options.ConfigFile = None,
) -> None:
    """Run Ringbridge: API, registrar, calls, media relay, bus and store, until Ctrl-C."""
    settings = options.load_config(
        config,
        options.node_overrides(
            http=http,
            sip=sip,
            data=data,
            bus=bus,
            roles=role,
            public_address=public_address,
            durability=durability,
            log_level=log_level,
            https=https,
        ),
    )

    import uvloop

    from ringbridge import logs, main

    logs.set_up(settings.log)
    try:
        uvloop.run(main.serve(settings, ready=_say_ready))
    except (main.NodeRefused, OSError) as refused:
        options.fail(str(refused))


def _say_ready(node: Node) -> None:
    from ringbridge.cli.terminal import Style, Terminal

    terminal = Terminal()
    terminal.line(f"Ringbridge is ready: node {node.id}", Style.BOLD)
    if node.http_url is not None:
        terminal.line(f"  API   {node.http_url}")
    if node.https_url not in (None, node.http_url):
        terminal.line(f"        {node.https_url}")
    if node.health_url is not None:
        terminal.line(f"  well  {node.health_url}/healthz, /readyz and /metrics")
    if node.sip_port is not None:
        terminal.line(f"  SIP   {node.sip_host}:{node.sip_port}, UDP and TCP")
    if node.admin_key_file is not None:
        terminal.line(f"  key   in {node.admin_key_file}")
