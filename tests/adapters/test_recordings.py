"""From what the relay wrote to a WAV in the folder of recordings."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import wave
from array import array
from pathlib import Path

import pytest
from msgspec.structs import replace

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.recordings.folder import DRAFT_KEPT_S, RecordingFolder
from ringbridge.adapters.recordings.keeper import KeeperSettings, RecordingKeeper, raw_name
from ringbridge.adapters.recordings.mixer import HEADER_BYTES, Mixed, mix
from ringbridge.calls.recording_ports import Recording
from ringbridge.model.call import Side
from ringbridge.model.ids import SessionId
from tests.adapters.loops import until
from tests.calls.samples import VirtualClock
from tests.media.recorded import talk

LOUD, QUIET, ALAW_LOUD = b"\x80" * 160, b"\xff" * 160, b"\xaa" * 160
A_CALL = Recording(
    domain="acme",
    call_id="click/1",
    session_id="s-1",
    users=("1001",),
    requested_at=90.0,
    began_at=100.0,
    seconds=2.0,
    size=4,
    name="",
)


def samples(path: Path) -> tuple[array[int], array[int]]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = array("h", file.readframes(file.getnframes()))
    return both[::2], both[1::2]


# --- mixing -----------------------------------------------------------------------------------------------------------


def test_each_leg_has_a_channel_and_both_one_time(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(talk(100.0, LOUD, packets=50))
    (tmp_path / "t").write_bytes(talk(100.5, ALAW_LOUD, packets=50, payload_type=8))
    out = tmp_path / "out.wav"
    assert mix([(0, tmp_path / "o"), (1, tmp_path / "t")], out) == Mixed(100.0, 12_000)
    left, right = samples(out)
    assert len(left) == len(right) == 12_000
    assert set(left[:8000]) == {32124}
    assert set(left[8000:]) == {0}
    assert set(right[:4000]) == {0}
    assert set(right[4000:]) == {32256}


def test_files_of_a_call_that_moved_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(talk(100.0, LOUD, packets=10))
    (tmp_path / "two").write_bytes(talk(101.0, QUIET, packets=10, ssrc=2))
    (tmp_path / "none").write_bytes(b"")
    out = tmp_path / "out.wav"
    assert mix([(0, tmp_path / "two"), (0, tmp_path / "one"), (1, tmp_path / "none")], out).frames == 9600
    assert samples(out)[0][1599] == 32124


def test_of_silence_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(b"")
    assert mix([(0, tmp_path / "o")], tmp_path / "out.wav").frames == 0
    assert not (tmp_path / "out.wav").exists()


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(talk(100.0, LOUD, packets=50))
    command = [
        sys.executable,
        "-m",
        "ringbridge.adapters.recordings.mixer",
        str(tmp_path / "wav"),
        f"o:{tmp_path / 'o'}",
    ]
    ended = subprocess.run(["prlimit", "--fsize=1000", *command], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "File too large" in ended.stderr


# --- the folder -------------------------------------------------------------------------------------------------------


def kept(folder: RecordingFolder, recording: Recording = A_CALL, *, began_ms: int = 100_000) -> Recording:
    draft = folder.draft(recording.domain, recording.call_id, recording.session_id, began_ms)
    draft.write_bytes(b"RIFF")
    recording = replace(recording, name=draft.stem)
    folder.keep(draft, recording)
    return recording


def age(path: Path, recording: Recording, *, at: float) -> None:
    """Have a recording end at another time."""
    os.utime(next(path.rglob(f"{recording.name}.json")), (at, at))


async def test_a_call_has_its_recordings_oldest_first(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path / "recordings")
    assert await folder.of_call("acme", "click/1") == []
    later = kept(folder, replace(A_CALL, began_at=200.0), began_ms=200_000)
    first = kept(folder)
    assert await folder.of_call("acme", "click/1") == [first, later]
    assert await folder.of_call("other", "click/1") == await folder.of_call("acme", "click/2") == []
    assert await folder.size("acme", first.name) == 4
    assert await folder.read("acme", first.name, start=1, count=2) == b"IF"


async def test_a_draft_is_not_shown(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    draft = folder.draft("acme", "click/1", "s-1", 100_000)
    draft.write_bytes(b"RI")
    assert await folder.of_call("acme", "click/1") == []
    assert await folder.size("acme", draft.stem) is None


@pytest.mark.parametrize(("domain", "name"), [("..", "x"), ("acme", "../../../etc/passwd"), ("a/b", ""), ("", "x")])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, domain: str, name: str) -> None:
    folder = RecordingFolder(tmp_path)
    kept(folder)
    assert await folder.of_call(domain, name) == []
    assert await folder.size(domain, name) is None
    assert await folder.read(domain, name, start=0, count=1) == b""


def test_what_is_old_goes_and_what_was_left_behind(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    one, other = kept(folder), kept(folder, replace(A_CALL, call_id="click/2"))
    left = folder.draft("acme", "click/3", "s-3", 1)
    left.write_bytes(b"RI")
    now = 2_000_000_000.0
    age(tmp_path, one, at=now - 1000)
    age(tmp_path, other, at=now)
    os.utime(left, (now, now))
    assert folder.expire(0, now=now + 60) == 0, "0 is for ever"
    os.utime(left, (now, now))
    assert folder.expire(900, now=now) == 1
    assert asyncio.run(folder.of_call("acme", "click/1")) == []
    assert asyncio.run(folder.of_call("acme", "click/2")) == [other]
    assert left.exists(), "somebody may be writing it"
    folder.expire(10**6, now=now + DRAFT_KEPT_S + 1)
    assert sorted(path.suffix for path in tmp_path.rglob("*.*") if path.is_file()) == [".json", ".wav"]


# --- keeping ----------------------------------------------------------------------------------------------------------


class Stage:
    """A relay's folders, and who makes recordings of what is in them."""

    def __init__(self, path: Path) -> None:
        self.whole, self.spool = path / "relay" / "recordings", path / "relay" / "spool"
        for folder in (self.whole, self.spool):
            folder.mkdir(parents=True)
        self.folder = RecordingFolder(path / "recordings")
        settings = KeeperSettings(relay=path / "relay", kept_s=900, least_free_bytes=0)
        self.keeper = RecordingKeeper(settings, self.folder, MemoryStore(VirtualClock()))
        self.up: set[SessionId] = set()

    def wrote(self, *, spooled: bool = False) -> list[Path]:
        """Put a file of each leg there."""
        files = [
            (self.spool if spooled else self.whole) / f"{raw_name('acme', 's-1', side, at=100.0)}.rtp" for side in Side
        ]
        for file in files:
            file.write_bytes(talk(100.0, LOUD, packets=50))
        return files

    async def made(self) -> list[Recording]:
        await self.keeper.sweep(self.up.__contains__)
        return await self.folder.of_call("acme", "s-1")  # a call that the store does not know has its session's name


async def test_what_the_relay_wrote_becomes_a_recording(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    raws = stage.wrote()
    (made,) = await stage.made()
    assert (made.began_at, made.seconds, made.size) == (100.0, 1.0, HEADER_BYTES + 32_000)
    assert not any(raw.exists() for raw in raws)
    assert await stage.made() == [made]


async def test_a_call_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.up.add(SessionId("s-1"))
    stage.wrote()
    assert await stage.made() == []
    stage.up.clear()
    spooled = stage.wrote(spooled=True)
    assert await stage.made() == [], "the relay writes of it still"
    for file in spooled:
        file.replace(stage.whole / file.name)
    assert len(await stage.made()) == 1


async def test_what_could_not_be_made_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    raws = stage.wrote()
    (tmp_path / "recordings").write_text("in the way")
    assert await stage.made() == []
    assert all(raw.exists() for raw in raws)
    (tmp_path / "recordings").unlink()
    assert await stage.made() == [], "not at once again"
    monkeypatch.setattr("ringbridge.adapters.recordings.keeper.time.monotonic", lambda: 10**9)
    assert len(await stage.made()) == 1


async def test_a_call_without_sound_has_no_recording(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for raw in stage.wrote():
        raw.write_bytes(b"")
    assert await stage.made() == []
    assert list(stage.whole.iterdir()) == []


async def test_keeping_goes_on_by_itself_and_frees_the_disk(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    old = kept(stage.folder, began_ms=5)
    age(tmp_path, old, at=0)
    stage.wrote()
    stopped: list[bool] = []

    class Engine:
        def has(self, session_id: SessionId) -> bool:
            return False

        def stop_recording(self) -> None:
            stopped.append(True)

    running = asyncio.create_task(stage.keeper.run(Engine()))
    try:
        await until(lambda: not list(stage.whole.iterdir()) and _notes(tmp_path) == ["s-1"], within_s=20)
        await until(lambda: not list(tmp_path.rglob(f"{old.name}*")), within_s=20)
        assert await stage.folder.of_call("acme", "click/1") == []
        assert stopped == []
    finally:
        running.cancel()
        await asyncio.wait([running])


def _notes(path: Path) -> list[str]:
    """Return the sessions that have a recording."""
    return [note.name.split(".")[1] for note in path.rglob("*.json") if note.name.split(".")[2] == "100000"]
