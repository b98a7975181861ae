"""The folder of recordings: `@<domain>/<two digits>/<name>.wav`, and beside each a JSON note of what it is.

A file's name is the digest of its call's call-id (which may hold what a file's name may not), the call's session id and
when it began. The note is written last, whole, and deleted first: without one there is no recording, so nobody is ever
shown a part of a file, whatever dies in between.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from ringbridge.calls.recording_ports import Recording

_NAME: Final = re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9-]{1,64}\.[0-9]{1,16}")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
WAV: Final = ".wav"
NOTE: Final = ".json"
DRAFT: Final = ".part"
DRAFT_KEPT_S: Final = 3600.0
"""A draft that is older was left behind: no mixing takes so long."""


class RecordingFolder:
    """Implements `calls.recording_ports.Recordings`. The folder need not exist before something is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # --- reading ------------------------------------------------------------------------------------------------------

    async def of_call(self, domain: str, call_id: str) -> list[Recording]:
        return await asyncio.to_thread(self._of_call, domain, call_id)

    def _of_call(self, domain: str, call_id: str) -> list[Recording]:
        digest = _digest(call_id)
        if not _DOMAIN.fullmatch(domain):
            return []
        notes = (self._of_domain(domain) / digest[:2]).glob(f"{digest}.*{NOTE}")
        found = [recording for note in notes if (recording := _read_note(note)) is not None]
        return sorted([one for one in found if one.call_id == call_id], key=lambda one: one.began_at)

    async def size(self, domain: str, name: str) -> int | None:
        path = self._path(domain, name)
        return None if path is None else await asyncio.to_thread(_size, path)

    async def read(self, domain: str, name: str, *, start: int, count: int) -> bytes:
        path = self._path(domain, name)
        return b"" if path is None else await asyncio.to_thread(_read, path, start, count)

    def _path(self, domain: str, name: str) -> Path | None:
        if not _NAME.fullmatch(name) or not _DOMAIN.fullmatch(domain):
            return None
        return self._of_domain(domain) / name[:2] / (name + WAV)

    def _of_domain(self, domain: str) -> Path:
        return self._folder / f"@{domain}"  # whatever it is called, `..` too, it stays within

    # --- keeping ------------------------------------------------------------------------------------------------------

    @property
    def free_bytes(self) -> int:
        """How much room its disk has."""
        place = self._folder
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def draft(self, domain: str, call_id: str, session_id: str, began_ms: int) -> Path:
        """Return where to write a new file; the folder is there.

        Raises:
            OSError: it cannot be made.
        """
        digest = _digest(call_id)
        folder = self._of_domain(domain) / digest[:2]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{digest}.{session_id}.{began_ms}{DRAFT}"

    def keep(self, draft: Path, recording: Recording) -> None:
        """Make a draft that is whole a recording.

        Raises:
            OSError: there is no room for its note.
        """
        note = draft.with_suffix(NOTE)
        note_draft = draft.with_suffix(f"{NOTE}{DRAFT}")
        draft.chmod(0o600)
        draft.replace(draft.with_suffix(WAV))
        with note_draft.open("wb") as file:
            file.write(msgspec.json.encode(recording))
            file.flush()
            os.fsync(file.fileno())
        note_draft.replace(note)
        _flush_folder(draft.parent)

    def expire(self, kept_s: float, *, now: float) -> int:
        """Delete what ended more than `kept_s` seconds ago, and drafts that were left behind; return how many."""
        deleted = 0
        for path in self._files():
            with suppress(OSError):
                age_s = now - path.stat().st_mtime
                if path.suffix == DRAFT and age_s > DRAFT_KEPT_S:
                    path.unlink()
                elif path.suffix == NOTE and kept_s and age_s > kept_s:
                    path.unlink()
                    path.with_suffix(WAV).unlink(missing_ok=True)
                    deleted += 1
                elif path.suffix == WAV and age_s > DRAFT_KEPT_S and not path.with_suffix(NOTE).exists():
                    path.unlink()
        return deleted

    def _files(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self._folder):
            yield from (Path(folder, name) for name in names)


def _digest(call_id: str) -> str:
    return sha256(call_id.encode()).hexdigest()[:32]


def _read_note(path: Path) -> Recording | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Recording)
    except (OSError, msgspec.DecodeError):
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _read(path: Path, start: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(count)
    except OSError:
        return b""


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
