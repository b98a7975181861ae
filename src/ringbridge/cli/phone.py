"""`ringbridge phone`: everybody's test phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli import options

if TYPE_CHECKING:
    import asyncio

    from ringbridge.phone.settings import PhoneSettings

_TRANSIENT = (408, 500, 503, 504)
"""The registrar is not there, or not yet: the phone goes on asking."""


def phone(  # noqa: PLR0913 - one argument an option
    *,
    user: Annotated[str, typer.Option("--user", help="User part of the address-of-record, and digest user name.")],
    domain: Annotated[str, typer.Option("--domain", help="Domain of the address-of-record.")],
    password: Annotated[str, typer.Option("--password", help="For the registrar's digest challenge.")],
    registrar: Annotated[
        str, typer.Option("--registrar", metavar="HOST:PORT", help="Where to register.")
    ] = "127.0.0.1:5060",
    tcp: Annotated[bool, typer.Option("--tcp", help="Register by TCP instead of UDP.")] = False,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Own SIP address; port 0: any.")
    ] = "127.0.0.1:0",
    expires: Annotated[int, typer.Option("--expires", help="Registration asked for, seconds.")] = 600,
    answer_after: Annotated[float, typer.Option("--answer-after", help="Seconds of ringing.")] = 1.0,
    never_answer: Annotated[bool, typer.Option("--never-answer", help="Ring for ever.")] = False,
    busy: Annotated[bool, typer.Option("--busy", help="Refuse with 486.")] = False,
    reject: Annotated[int | None, typer.Option("--reject", min=300, max=699, help="Refuse with this status.")] = None,
    ignore_auto_answer: Annotated[
        bool, typer.Option("--ignore-auto-answer", help="Do not answer at once when the INVITE asks for it.")
    ] = False,
    tone: Annotated[int, typer.Option("--tone", min=50, max=3400, help="What it plays, hertz.")] = 440,
    play: Annotated[Path | None, typer.Option("--play", help="WAV to play instead (8000 Hz, 16 bits, mono).")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="WAV for what it hears.")] = None,
    hang_up_after: Annotated[
        float | None, typer.Option("--hang-up-after", help="Seconds from the answer to its BYE.")
    ] = None,
    call: Annotated[str | None, typer.Option("--call", metavar="NUMBER", help="Call, and end after that call.")] = None,
) -> None:
    """Run one test phone until Ctrl-C: register, answer, play a tone, and say what happens."""
    from ringbridge.cli.running import run
    from ringbridge.phone.settings import Account, Behaviour, PhoneSettings
    from ringbridge.sip.peer import Peer, Transport

    host, port = options.split_address(registrar, option="--registrar")
    own_host, own_port = options.split_address(listen, option="--listen")
    settings = PhoneSettings(
        account=Account(
            user=user,
            domain=domain,
            password=password,
            registrar=Peer(Transport.TCP if tcp else Transport.UDP, host or "127.0.0.1", port or 5060),
        ),
        behaviour=Behaviour(
            answer_after_s=None if never_answer else answer_after,
            reject_status=486 if busy else reject,
            obeys_auto_answer=not ignore_auto_answer and not never_answer,
            hang_up_after_s=hang_up_after,
            tone_hz=tone,
            play=play,
            record=record,
        ),
        host=own_host or "127.0.0.1",
        port=own_port or 0,
        expires_s=expires,
    )
    raise SystemExit(run(lambda stop: _run(settings, call, stop)))


async def _run(settings: PhoneSettings, to: str | None, stop: asyncio.Event) -> int:
    from ringbridge.cli.running import unless_stopped
    from ringbridge.cli.terminal import Terminal
    from ringbridge.phone.phone import Phone, RegistrationRefused

    terminal = Terminal()
    one = Phone(settings, listener=terminal.phone_event)
    try:
        await one.start()
    except (OSError, ValueError) as error:
        options.fail(str(error))
    try:
        try:
            await unless_stopped(one.registered(deadline_s=60.0), stop)
        except RegistrationRefused as refusal:
            if refusal.status not in _TRANSIENT:
                options.fail(str(refusal))
        except TimeoutError as late:
            options.fail(str(late))
        if to is None or stop.is_set():
            await stop.wait()
            return 0
        try:
            line = await one.call(to)
        except (OSError, ValueError) as error:
            options.fail(str(error))
        await unless_stopped(line.ended.wait(), stop)
        return 0 if line.answered else 1
    finally:
        await one.stop()
