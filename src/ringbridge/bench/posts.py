"""How fast requests are accepted, and how soon after one a phone has its INVITE."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.bench.calls import call_maker
from ringbridge.bench.http_load import HttpLoad, Outcome
from ringbridge.bench.processes import free_port
from ringbridge.bench.stand import solo
from ringbridge.sip.session_events import EndpointEvent, IncomingInvite


async def measure_posts(folder: Path, *, rate: float, seconds: float) -> Outcome:
    """POST `rate` calls a second at a node with the API role alone and a bus like the embedded one."""
    server = NatsServer(ServerSettings(folder / "bus"))
    url = await server.start()
    try:
        alone = solo(folder / "api", "--role", "api", "--bus", url)
        async with alone as stand, HttpLoad("127.0.0.1", stand.http_port) as load:
            await load.run(call_maker(stand.key), rate=rate / 2, seconds=1.0)
            return await load.run(call_maker(stand.key), rate=rate, seconds=seconds)
    finally:
        await server.stop()


class InviteLatency(msgspec.Struct, frozen=True):
    """Milliseconds from the POST's first byte to the INVITE's arrival at the phone, on one machine."""

    calls: int
    p50_ms: float
    p99_ms: float


async def measure_invite_latency(folder: Path, *, rate: float, seconds: float) -> InviteLatency:
    """Place calls at `rate` a second on a node with everything; the phone of the first leg is busy at once."""
    posted: dict[str, float] = {}
    arrived: dict[str, float] = {}
    port = free_port()

    def on_event(event: EndpointEvent) -> None:
        if isinstance(event, IncomingInvite):
            number = event.request.uri.partition(":")[2].partition("@")[0]
            arrived.setdefault(number, time.perf_counter())
            phone.endpoint.reject(event.session, phone.now(), status=486)

    phone = SipNode(SipNodeSettings(host="127.0.0.1", port=port), on_event=on_event)
    await phone.start()
    try:
        async with solo(folder, orig_port=port) as stand, HttpLoad("127.0.0.1", stand.http_port) as load:
            await load.run(call_maker(stand.key), rate=rate, seconds=1.0)
            await asyncio.sleep(1.0)
            arrived.clear()
            make = call_maker(stand.key)

            def timed(number: int) -> bytes:
                posted[f"{number:08d}"] = time.perf_counter()
                return make(number)

            await load.run(timed, rate=rate, seconds=seconds)
            await asyncio.sleep(1.0)
    finally:
        await phone.stop()
    took = sorted(1000 * (arrived[number] - at) for number, at in posted.items() if number in arrived)
    if len(took) < len(posted):
        raise RuntimeError(f"{len(posted) - len(took)} of {len(posted)} calls sent no INVITE")
    return InviteLatency(len(took), took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))])
