"""What the demo puts on stage: a node, a domain with two users, two phones; and the calls between them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack

from ringbridge import main
from ringbridge.cli.client import ApiClient, ApiError, CallOrder, CallResource, calls_path, read_key
from ringbridge.cli.options import fail, say_error
from ringbridge.cli.running import unless_stopped
from ringbridge.cli.story import Story, Verdict
from ringbridge.cli.terminal import Style, Terminal
from ringbridge.config import Config
from ringbridge.phone.phone import Phone, RegistrationRefused
from ringbridge.phone.settings import Account, Behaviour, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.peer import Peer, Transport

DOMAIN = "demo"
TONES_HZ = {"1001": 600, "1002": 900}
NAMES = {"1001": "Ada", "1002": "Bob"}
CALLER_IDS = {"1001": "+12025550101", "1002": "+12025550102"}
SCOPES = {"1001": "Office Manager", "1002": "Basic User"}
"""Whoever logs in to the console as 1001 sees all of the domain."""
KEY_OF = "1001"
HEARD_WITHIN_S = 8.0
"""From the POST: how long the demo waits for both tones before it hangs up and says what is missing."""
FIRST_CALL_WITHIN_S = 25.0
"""The first call is over by then, or something hangs."""
LISTEN_S = 1.0
"""How long the first call goes on after both tones have been heard."""
FIND_ATTEMPTS = 40
FIND_EVERY_S = 0.05
"""How often, and how long apart, the API is asked which call a phone's dialog belongs to."""
FURTHER_CALL_S = 20.0
"""How long calls that are placed by hand last, unless they are ended before."""
DEFAULT_PORTS = {"http": 8480, "sip": 5060}


def spare_ports(overrides: dict[str, object]) -> dict[str, object]:
    """Return `overrides` with port 0 (any) for each default port that somebody else has."""
    spared = dict(overrides)
    for section, port in DEFAULT_PORTS.items():
        if spared.get(f"{section}.port") is None and not _is_free(port, udp=section == "sip"):
            spared[f"{section}.port"] = 0
    return spared


def _is_free(port: int, *, udp: bool) -> bool:
    kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if udp else [])]
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


async def run_demo(config: Config, stop: asyncio.Event, *, once: bool, is_kept: bool) -> int:
    """Run the demo until `stop`, or with `once` until its first call is over; return its exit status."""
    try:
        status = await unless_stopped(_perform(config, once=once, is_kept=is_kept), stop)
    except ApiError as error:
        say_error(error)
        return 1
    except (main.NodeRefused, RegistrationRefused, OSError) as error:
        fail(str(error))
    return 0 if status is None else status


async def _perform(config: Config, *, once: bool, is_kept: bool) -> int:
    terminal = Terminal()
    began = time.monotonic()
    async with main.running(config) as node:
        _introduce(terminal, node, is_kept=is_kept)
        async with _stage(terminal, node) as stage:
            terminal.line(f"  ready in {time.monotonic() - began:.1f} s", Style.DIM)
            status = await stage.first_call()
            if not once:
                stage.invite_more(status)
                await asyncio.Event().wait()
            return status


def _introduce(terminal: Terminal, node: main.Node, *, is_kept: bool) -> None:
    ports = {"http": int(str(node.http_url).rpartition(":")[2]), "sip": node.sip_port}
    moved = [f"{port} is taken" for name, port in DEFAULT_PORTS.items() if ports[name] != port]
    terminal.line(f"  API    {node.http_url}" + (f"  ({moved[0]})" if ports["http"] != DEFAULT_PORTS["http"] else ""))
    sip_note = f"  ({moved[-1]})" if ports["sip"] != DEFAULT_PORTS["sip"] else ""
    terminal.line(f"  SIP    {node.sip_host}:{node.sip_port}, UDP and TCP{sip_note}")
    bus = node.bus_url.rpartition("@")[2].removeprefix("nats://")
    terminal.line(f"  bus    {bus}, NATS JetStream on disk, process {node.nats_pid}")
    terminal.line(f"  relay  process {node.relay_pid}")
    terminal.line(f"  data   {node.config.node.data_dir}" + ("" if is_kept else " (removed at the end)"))


@contextlib.asynccontextmanager
async def _stage(terminal: Terminal, node: main.Node) -> AsyncIterator[Stage]:
    """Provision the domain, register both phones, and take them down at the end."""
    assert node.http_url is not None and node.admin_key_file is not None  # noqa: S101, PT018 - the demo has all roles
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(ApiClient(node.http_url, read_key(node.admin_key_file)))
        passwords = {user: secrets.token_urlsafe(12) for user in TONES_HZ}
        applied = await admin.apply(directory(passwords))
        login_password = secrets.token_urlsafe(12)
        await admin.set_password(DOMAIN, KEY_OF, login_password)
        client = await stack.enter_async_context(ApiClient(node.http_url, applied.keys[0].key))
        stage = Stage(
            terminal, admin=admin, client=client, key=applied.keys[0].key, login=(f"{KEY_OF}@{DOMAIN}", login_password)
        )
        registrar = Peer(Transport.UDP, str(node.sip_host), int(node.sip_port or 0))
        try:
            for user, password in passwords.items():
                await stage.add_phone(Account(user, DOMAIN, password, registrar))
            yield stage
        finally:
            await stage.close()


def directory(passwords: Mapping[str, str]) -> dict[str, object]:
    """Return the demo's domain as a directory document; its only key is new each time."""
    users = [
        {
            "user": user,
            "name-first-name": NAMES[user],
            "caller-id-number": CALLER_IDS[user],
            "caller-id-name": NAMES[user],
            "user-scope": SCOPES[user],
            "devices": [{"device": user, "device-sip-registration-password": password}],
            "api-keys": [{"description": f"demo key {secrets.token_hex(4)}"}] if user == KEY_OF else [],
        }
        for user, password in passwords.items()
    ]
    return {"domains": [{"domain": DOMAIN, "description": "ringbridge demo", "users": users}]}


class Stage:
    """Two registered phones, and the calls that reach them."""

    def __init__(
        self, terminal: Terminal, *, admin: ApiClient, client: ApiClient, key: str, login: tuple[str, str]
    ) -> None:
        self._terminal = terminal
        self._admin = admin
        self._client = client
        self._key = key
        self._login = login
        self._phones: dict[str, Phone] = {}
        self._stories: list[Story] = []
        self._dialogs: dict[str, Story] = {}
        self._held: dict[str, list[tuple[str, PhoneEvent, bool]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def add_phone(self, account: Account) -> None:
        """Start a phone and wait until it is registered."""
        user = account.user
        behaviour = Behaviour(answer_after_s=0.3, tone_hz=TONES_HZ[user])
        phone = Phone(PhoneSettings(account, behaviour), listener=lambda event: self._on_phone_event(user, event))
        self._phones[user] = phone
        await phone.start()
        await phone.registered()
        host, port = phone.address
        self._terminal.line(f"  phone  {user} ({NAMES[user]}) registered from {host}:{port}, plays {TONES_HZ[user]} Hz")

    async def first_call(self) -> int:
        """Place one call as any client would; return 0 if both legs were answered and both tones heard."""
        order = CallOrder(call_id=f"demo-{secrets.token_hex(8)}", call_term_user="1002")
        posted_at = time.time()
        story = self._story(KEY_OF, order.call_id, posted_at=posted_at)
        story.add(posted_at, step="POST", detail=calls_path(DOMAIN, KEY_OF))
        status = await self._client.make_call(DOMAIN, KEY_OF, order)
        story.add(time.time(), step=str(status), detail="Accepted")
        ending = asyncio.get_running_loop().create_task(self._end_first(story))
        missing: list[str] = []
        try:
            async with asyncio.timeout(FIRST_CALL_WITHIN_S):
                await story.run()
        except TimeoutError:
            missing.append(f"the call was not over after {FIRST_CALL_WITHIN_S:g} s")
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
            self._forget(story)
        return self._judge([*missing, *story.verdict.missing()])

    async def _end_first(self, story: Story) -> None:
        """Hang up at 1002 once both tones were heard, or have not been for too long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(story.verdict.both_heard.wait(), HEARD_WITHIN_S)
            await asyncio.sleep(LISTEN_S)
        if story.joined.is_set():
            self._phones["1002"].hang_up()
        else:
            await self._client.end_call(DOMAIN, KEY_OF, story.call_id)

    def _judge(self, missing: list[str]) -> int:
        self._terminal.line()
        for line in missing:
            self._terminal.line(f"missing: {line}", Style.RED)
        if missing:
            return 1
        one, other = TONES_HZ
        self._terminal.line(
            f"Both legs were answered; {one} heard {TONES_HZ[other]} Hz and {other} heard {TONES_HZ[one]} Hz, "
            "measured on the received audio.",
            Style.GREEN,
        )
        return 0

    def invite_more(self, status: int) -> None:
        """Say how to place the next call."""
        unique = "'$(uuidgen 2>/dev/null || echo $RANDOM-$RANDOM-$RANDOM)'"
        body = f'{{"call-id": "{unique}", "call-term-user": "1002"}}'
        line = self._terminal.line
        line()
        line("Place the next call" + ("" if status == 0 else " all the same") + ":", Style.BOLD)
        line(
            f"curl -sS {self._client.url}{calls_path(DOMAIN, KEY_OF)} -H 'Authorization: Bearer {self._key}'"
            f" -H 'Content-Type: application/json' -d '{body}'"
        )
        line()
        line(f"  URL  {self._client.url}/ns-api/v2")
        line(f"  key  {self._key}  (user {KEY_OF} of domain {DOMAIN})")
        line()
        line(
            "Or in a browser, the reference to try the API with, and the console to watch and place calls:", Style.BOLD
        )
        line(f"  docs      {self._client.url}/docs")
        line(f"  console   {self._client.url}/console")
        line(f"  user      {self._login[0]}")
        line(f"  password  {self._login[1]}")
        line(f"  A call ends after {FURTHER_CALL_S:g} s, or by DELETE of its URL. Ctrl-C ends everything.", Style.DIM)

    async def close(self) -> None:
        """End the stories and stop the phones."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(phone.stop(deadline_s=0.5) for phone in self._phones.values()))

    # --- what the phones notice --------------------------------------------------------------------------------------

    def _story(self, user: str, call_id: str, *, posted_at: float | None) -> Story:
        story = Story(
            self._terminal,
            self._admin,
            domain=DOMAIN,
            user=user,
            call_id=call_id,
            posted_at=posted_at,
            verdict=Verdict(TONES_HZ),
        )
        self._stories.append(story)
        return story

    def _on_phone_event(self, user: str, event: PhoneEvent) -> None:
        """Pass on what a phone noticed to the story of its call; hold it back while that is being found out."""
        dialog = event.sip_call_id
        if not dialog:
            return
        other = self._phones["1002" if user == "1001" else "1001"]
        streams = [line.rtp.ssrc for line in other.lines if line.rtp is not None]
        is_other = event.ssrc is not None and event.ssrc in streams
        if dialog in self._dialogs:
            self._dialogs[dialog].phone_event(user, event, is_other=is_other)
        elif dialog in self._held:
            self._held[dialog].append((user, event, is_other))
        elif event.kind is PhoneEventKind.INVITED:
            self._held[dialog] = []
            self._start(self._find_story(dialog))

    async def _find_story(self, dialog: str) -> None:
        """Find out which call the dialog belongs to; begin its story if it has none."""
        try:
            for _ in range(FIND_ATTEMPTS):
                for call in await self._admin.active_calls(DOMAIN):
                    if any(leg.sip_call_id == dialog for leg in call.call_legs):
                        self._belongs(dialog, call)
                        return
                await asyncio.sleep(FIND_EVERY_S)
        except ApiError as error:
            say_error(error)
        finally:
            self._held.pop(dialog, None)

    def _belongs(self, dialog: str, call: CallResource) -> None:
        story = next((one for one in self._stories if one.call_id == call.call_id), None)
        if story is None:
            story = self._story(call.call_by_user, call.call_id, posted_at=None)
            self._start(self._tell(story))
        self._dialogs[dialog] = story
        for user, event, is_other in self._held.pop(dialog):
            story.phone_event(user, event, is_other=is_other)

    async def _tell(self, story: Story) -> None:
        """Tell a call that was placed by hand, and end it when it has lasted long enough."""
        ending = asyncio.get_running_loop().call_later(FURTHER_CALL_S, self._hang_up_all)
        try:
            await story.run()
        except ApiError as error:
            say_error(error)
        finally:
            ending.cancel()
            self._forget(story)

    def _forget(self, story: Story) -> None:
        self._stories.remove(story)
        self._dialogs = {dialog: one for dialog, one in self._dialogs.items() if one is not story}

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hang_up_all(self) -> None:
        for phone in self._phones.values():
            phone.hang_up()
