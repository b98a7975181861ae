"""Makes recordings of what the relay wrote: whatever lies in its folder, whoever left it there.

The relay writes each leg to a file under `spool/`, named `<domain>@<session id>@<milliseconds>@<o or t>.rtp`, and moves
it to `recordings/` when the leg's relay session or its recording ends; a relay that was killed leaves files in the
spool, which the next one moves. So the folder alone says what is to be done, and nothing depends on who was alive when
the call ended: files of a call that is over are mixed by a process of their own (`recordings.mixer`), kept
(`recordings.folder`) and deleted, in this order. What fails, as on a full disk, is tried again later.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from ringbridge.adapters.recordings.folder import RecordingFolder
from ringbridge.adapters.recordings.mixer import HEADER_BYTES, Mixed
from ringbridge.adapters.relay.process import RECORDINGS, SPOOL
from ringbridge.calls.recording_ports import Recording
from ringbridge.model.call import Call, Side
from ringbridge.model.cdr import Cdr, parties_of
from ringbridge.model.ids import DomainName, SessionId

log = structlog.get_logger(__name__)

SWEEP_S: Final = 10.0
SETTLE_S: Final = 0.3
"""From a call's end until its files are looked for; the relay takes milliseconds to close them."""
AGAIN_S: Final = 60.0
"""Until what failed is tried again."""
EXPIRE_S: Final = 3600.0
MIX_DEADLINE_S: Final = 1800.0
_RAW_NAME: Final = re.compile(r"([A-Za-z0-9._-]+)@([A-Za-z0-9-]+)@([0-9]{1,16})@([ot])")


def raw_name(domain: str, session_id: str, side: Side, *, at: float) -> str:
    """Return the name of the file that the relay writes of one leg, without its suffix."""
    return f"{domain}@{session_id}@{round(at * 1000)}@{side.value[0]}"


class History(Protocol):
    """What is asked of the store."""

    async def call(self, domain: DomainName, name: str) -> Call | None: ...
    async def cdr(self, domain: DomainName, session_id: SessionId) -> Cdr | None: ...


class Engine(Protocol):
    """What is asked of the engine whose calls are recorded."""

    def has(self, session_id: SessionId) -> bool: ...
    def stop_recording(self) -> None: ...


class KeeperSettings(Struct, frozen=True, kw_only=True):
    """`relay` is the relay's own folder; `kept_s` is how long recordings are kept, 0 for ever."""

    relay: Path
    kept_s: float
    least_free_bytes: int


class _Raw(Struct, frozen=True, order=True):
    """One file of the relay's."""

    began_ms: int
    side: str
    path: Path


class RecordingKeeper:
    """Works for one engine."""

    def __init__(self, settings: KeeperSettings, folder: RecordingFolder, history: History) -> None:
        self._settings = settings
        self._folder = folder
        self._history = history
        self._poked = asyncio.Event()
        self._failed: dict[SessionId, float] = {}

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for one more recording: the bus and the store live on it too."""
        return self._folder.free_bytes >= self._settings.least_free_bytes

    def poke(self) -> None:
        """Look soon: a call that was recorded is over."""
        self._poked.set()

    async def run(self, engine: Engine) -> None:
        """Make recordings until cancelled. Its calls must have been taken up before: files of others are mixed."""
        expires_at = 0.0
        while True:
            if not self.has_room:
                engine.stop_recording()
            try:
                await self.sweep(engine.has)
                if time.time() >= expires_at:
                    expires_at = time.time() + EXPIRE_S
                    await self._expire()
            except OSError:
                log.exception("recordings_not_kept")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._poked.wait(), SWEEP_S)
                self._poked.clear()
                await asyncio.sleep(SETTLE_S)

    async def _expire(self) -> None:
        deleted = await asyncio.to_thread(self._folder.expire, self._settings.kept_s, now=time.time())
        if deleted:
            log.info("recordings_expired", count=deleted)

    async def sweep(self, is_up: Callable[[SessionId], bool]) -> None:
        """Make recordings of all calls that are over; `is_up` tells which are not."""
        found = await asyncio.to_thread(_found, self._settings.relay / RECORDINGS)
        being_written = {session for _, session in await asyncio.to_thread(_found, self._settings.relay / SPOOL)}
        for (domain, session_id), raws in found.items():
            if is_up(session_id) or session_id in being_written or self._failed.get(session_id, 0.0) > time.monotonic():
                continue
            try:
                await self._make(domain, session_id, sorted(raws))
                self._failed.pop(session_id, None)
            except OSError:
                # The files stay where they are: as soon as there is room again, there is the recording too.
                self._failed[session_id] = time.monotonic() + AGAIN_S
                log.exception("recording_not_made", session_id=session_id, domain=domain)

    async def _make(self, domain: str, session_id: SessionId, raws: list[_Raw]) -> None:
        facts = await self._facts(DomainName(domain), session_id)
        draft = self._folder.draft(domain, facts.call_id, session_id, raws[0].began_ms)
        try:
            mixed = await self._mixed(draft, raws)
            if mixed.frames:
                recording = msgspec.structs.replace(
                    facts,
                    began_at=mixed.began_at,
                    seconds=mixed.seconds,
                    size=draft.stat().st_size,
                    name=draft.stem,
                )
                await asyncio.to_thread(self._folder.keep, draft, recording)
                log.info("recording_made", call_id=facts.call_id, domain=domain, seconds=round(mixed.seconds, 1))
        finally:
            draft.unlink(missing_ok=True)
        for raw in raws:
            raw.path.unlink(missing_ok=True)

    async def _facts(self, domain: DomainName, session_id: SessionId) -> Recording:
        """Return whose recording it is, without what only the sound tells."""
        call = await self._history.call(domain, session_id)
        cdr = None if call is not None else await self._history.cdr(domain, session_id)
        call_id, requested_at = str(session_id), 0.0
        users: set[str] = set()
        if call is not None:
            users = {call.user, *(leg.target.user for leg in call.legs if leg.target.domain == call.domain)}
            call_id, requested_at = call.call_id, call.requested_at
        elif cdr is not None:
            users = {party.user for party in parties_of(cdr) if party.domain == cdr.domain}
            call_id, requested_at = cdr.call_id, cdr.started_at
        return Recording(
            domain=domain,
            call_id=call_id,
            session_id=session_id,
            users=tuple(sorted(users - {""})),
            requested_at=requested_at,
            began_at=0.0,
            seconds=0.0,
            size=HEADER_BYTES,
            name="",
        )

    async def _mixed(self, draft: Path, raws: list[_Raw]) -> Mixed:
        """Have a process mix the files.

        Raises:
            OSError: it could not.
        """
        tracks = [f"{raw.side}:{raw.path}" for raw in raws]
        command = [sys.executable, "-m", "ringbridge.adapters.recordings.mixer", str(draft), *tracks]
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(MIX_DEADLINE_S):
                told, said = await child.communicate()
        except TimeoutError as error:
            raise OSError("mixing took too long") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise OSError(said.decode(errors="replace").strip() or f"the mixer ended with {child.returncode}")
        return msgspec.json.decode(told, type=Mixed)


def _found(folder: Path) -> dict[tuple[str, SessionId], list[_Raw]]:
    """Return the files of a folder of the relay's, by domain and session id of their calls."""
    found: dict[tuple[str, SessionId], list[_Raw]] = {}
    for path in _files(folder):
        if path.suffix == ".rtp" and (named := _RAW_NAME.fullmatch(path.stem)):
            domain, session_id, began_ms, side = named.groups()
            found.setdefault((domain, SessionId(session_id)), []).append(_Raw(int(began_ms), side, path))
    return found


def _files(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from folder.iterdir()
