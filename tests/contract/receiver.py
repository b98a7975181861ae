"""A receiver of events: takes POSTs down, and answers each path as it is told to."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.contract.wire import Json, new_id, until


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST as it came."""

    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    at: float
    """Seconds of the monotonic clock."""

    @property
    def objects(self) -> list[dict[str, Json]]:
        found = json.loads(self.body)
        assert isinstance(found, list)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Tell whether the signature is that of Standard Webhooks: of id, time and body, by the secret's bytes."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
        wanted = f"v1,{base64.b64encode(digest).decode()}"
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """What listens at `url`; each test takes a path of its own."""

    url: str
    came: defaultdict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    """Deliveries by path, in order."""
    statuses: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """What the next deliveries at a path are answered; 204 where nothing is said, and 0 is no answer at all."""

    def path(self, *statuses: int) -> str:
        """Return a path that nobody else uses, which answers so at first."""
        path = f"/{new_id()}"
        self.statuses[path] += statuses
        return path

    def objects(self, path: str, call_id: str) -> list[dict[str, Json]]:
        """Return what was told at a path, of one call where it is named, each thing once."""
        told = [one for delivery in list(self.came[path]) for one in delivery.objects]
        return list({one["id"]: one for one in told if one.get("call-id") == call_id}.values())

    def wait(self, path: str, call_id: str, action: str = "DELETE") -> list[dict[str, Json]]:
        """Return what was told of a call once that was among it."""
        until(
            lambda: any(one["action"] == action for one in self.objects(path, call_id)), what=f"{action} of {call_id}"
        )
        return self.objects(path, call_id)


@contextmanager
def receiving(host: str) -> Iterator[Receiver]:
    """Run a receiver at an address of this machine for the length of a block."""

    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.came[self.path].append(Delivery(headers, body, time.monotonic()))
            waiting = receiver.statuses[self.path]
            status = waiting.pop(0) if waiting else 204
            if not status:
                stop.wait(60.0)
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}{self.path}/moved")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # whoever asked may give up before the answer

    with Server((host, 0), Handler) as server:
        receiver = Receiver(f"http://{host}:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="receiver")
        thread.start()
        try:
            yield receiver
        finally:
            stop.set()
            server.shutdown()
            thread.join()
