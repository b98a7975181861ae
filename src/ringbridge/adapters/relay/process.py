"""The media relay as a process of its own: `python -m ringbridge.adapters.relay.process --data DIR …`.

It hosts RTPProxy (the `rtp.io` wheel; its threads do the work) and nothing else, so audio goes on while the engine is
restarted, and a crash in it takes nothing along. In DIR it keeps

- `relay.lock`, locked as long as it lives: one relay to a folder, and proof of life without trust in a pid;
- `relay.json`, who and where it is, written whole once it can be used;
- `prompts/`, the tones that it plays, made at the first start;
- `spool/`, what it writes of calls that are recorded, and `recordings/`, where each file goes when it is whole.

It ends on SIGTERM at once, and by itself when it has had neither a session nor a command from outside for `--linger`
seconds: left behind by an engine that never came back. SIGINT and SIGHUP are its parent's business.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

import msgspec
from msgspec import Struct
from rtp.io import rtpproxy

from ringbridge.adapters.relay.rtpproxy import HOLD_PROMPT, RelayAddress
from ringbridge.media import g711, relay_commands
from ringbridge.media.sdp import PCMA, PCMU
from ringbridge.media.tones import RINGBACK, cadence, hold_music

LOCK_FILE: Final = "relay.lock"
ADDRESS_FILE: Final = "relay.json"
LOG_FILE: Final = "relay.log"
PROMPTS: Final = "prompts"
RECORDINGS: Final = "recordings"
SPOOL: Final = "spool"
EXIT_ALREADY_RUNNING: Final = 3
_CHECK_EVERY_S: Final = 1.0
_CONTROL_PORT_TRIES: Final = 20
_LOCK_TRIES: Final = 20
_FILES_A_CALL: Final = 7  # two ports for RTP, two for RTCP, one prompt, a recording of each leg


class Running(Struct, frozen=True):
    """What stands in `relay.json`: a relay that can be used, and how it was started."""

    pid: int
    address: RelayAddress
    host: str
    port_min: int
    port_max: int


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the command line, read."""
    parser = argparse.ArgumentParser(prog="relay_process", description="Ringbridge's media relay.")
    parser.add_argument("--data", type=Path, required=True, help="folder of its own")
    parser.add_argument("--host", default="127.0.0.1", help="IP address for RTP")
    parser.add_argument("--advertise", default=None, help="address that stands in SDP, if it is not --host")
    parser.add_argument("--port-min", type=int, default=16384, help="first UDP port for RTP")
    parser.add_argument("--port-max", type=int, default=32766, help="last UDP port for RTP")
    parser.add_argument("--linger", type=float, default=120.0, help="seconds unused until it ends by itself")
    parser.add_argument("--session-ttl", type=int, default=3600, help="seconds of silence until a session is dropped")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the relay until it ends; the exit status is 0, or `EXIT_ALREADY_RUNNING`."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    # Blocked before any thread exists, so that all inherit it and only `sigtimedwait` below sees it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    data: Path = options.data
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # From here on all paths are relative: RTPProxy's protocol could not carry one with a blank in it.
    os.chdir(data)
    if not take_lock(os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)):
        sys.exit(EXIT_ALREADY_RUNNING)
    # What a relay that was killed left behind leads nowhere.
    address_file = Path(ADDRESS_FILE)
    address_file.unlink(missing_ok=True)
    write_prompts(Path(PROMPTS))
    take_over_recordings(Path(SPOOL), Path(RECORDINGS))
    proxy, control_port = start_proxy(options)
    is_any = options.host in {"0.0.0.0", "::"}
    address = RelayAddress(
        control=f"udp:127.0.0.1:{control_port}",
        media_host=options.advertise or options.host,
        prompts=PROMPTS,
        instance=secrets.token_hex(8),
        dead_end="127.0.0.1" if is_any else options.host,
        records=True,
    )
    running = Running(os.getpid(), address, options.host, options.port_min, options.port_max)
    write_whole(address_file, msgspec.json.encode(running))
    wait_for_end(proxy, options.linger)
    address_file.unlink(missing_ok=True)
    # RTPProxy's own shutdown waits, busily, for every stream to be over; ending the process closes all there is.
    os._exit(0)


def take_over_recordings(spool: Path, whole: Path) -> None:
    """Make the folders of recordings; what a relay that was killed was writing is as whole as it will ever be."""
    for folder in (spool, whole):
        folder.mkdir(exist_ok=True, mode=0o700)
    for left in spool.iterdir():
        left.replace(whole / left.name)


def take_lock(lock: int) -> bool:
    """Return whether the lock is ours, for good; whoever looks whether it is free has it for a moment."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def start_proxy(options: argparse.Namespace) -> tuple[rtpproxy, int]:
    """Return RTPProxy, running, and the UDP port on loopback where it takes commands."""
    try:
        free_port(options.host)  # RTPProxy itself would find out at the first call
    except OSError as error:
        sys.exit(f"relay: cannot listen on {options.host}: {error}")
    calls = (options.port_max - options.port_min) // 4
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = calls * _FILES_A_CALL + 200
    files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    for _ in range(_CONTROL_PORT_TRIES):
        # RTPProxy can listen on any free port, but not tell which.
        control_port = free_port("127.0.0.1")
        try:
            proxy = rtpproxy(
                port_min=options.port_min,
                port_max=options.port_max,
                debug_level="err",
                modules=[],
                ttl=options.session_ttl,
                setup_ttl=options.session_ttl,
                # -F: it may run as root, as containers do; -R: RTCP is not recorded, nobody would hear it
                extra_args=[
                    *("-F", "-l", options.host, "-s", f"udp:127.0.0.1:{control_port}"),
                    *("-R", "-r", RECORDINGS, "-S", SPOOL),
                ],
            )
        except RuntimeError as error:
            print(f"relay: control port {control_port}: {error}", file=sys.stderr, flush=True)  # noqa: T201  its log
            continue
        return proxy, control_port
    sys.exit(f"relay: cannot start on {options.host}, ports {options.port_min} to {options.port_max}")


def free_port(host: str) -> int:
    """Return a UDP port of `host` that is free now.

    Raises:
        OSError: `host` is no address of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_end(proxy: rtpproxy, linger_s: float) -> None:
    """Return on SIGTERM, or when nobody has used the relay for `linger_s` seconds."""
    unused_s = 0.0
    commands_seen = 0
    while signal.sigtimedwait({signal.SIGTERM}, _CHECK_EVERY_S) is None:
        proxy.rtpp_sock.sendall(relay_commands.COUNTERS + b"\n")
        counters = relay_commands.read_counters(proxy.rtpp_sock.recv(4096))
        is_used = counters.sessions > 0 or counters.commands > commands_seen + 1  # one is our own question
        commands_seen = counters.commands
        unused_s = 0.0 if is_used else unused_s + _CHECK_EVERY_S
        if unused_s >= linger_s:
            return


def write_prompts(folder: Path) -> None:
    """Make the tones that are not there yet, each in both laws, as files of bare samples (`us.0`, `us.8`)."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = {name: cadence(tone) for name, tone in RINGBACK.items()} | {HOLD_PROMPT: hold_music()}
    for name, samples in prompts.items():
        for codec in (PCMU, PCMA):
            path = folder / f"{name}.{codec.payload_type}"
            if not path.exists():
                write_whole(path, g711.encode(samples, codec.payload_type))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


if __name__ == "__main__":
    main()
