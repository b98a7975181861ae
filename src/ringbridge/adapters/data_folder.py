"""A node's folder: who may use it, who the node is, and secrets that only its owner reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ringbridge.model.ids import NodeId


class FolderTaken(Exception):
    """Another node uses the folder: two nodes in one folder would be two nodes of one name."""


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Make the folder if need be and hold it as long as the context lasts.

    Raises:
        FolderTaken: another process holds it.
        OSError: it cannot be made or written.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(data_dir / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        os.close(file)
        raise FolderTaken(f"another Ringbridge runs in {data_dir}; give this one its own with --data") from taken
    try:
        yield
    finally:
        os.close(file)


def node_id(data_dir: Path) -> NodeId:
    """Return the node's name: made once and kept, so that a restart is the same node."""
    file = data_dir / "node-id"
    if not file.exists():
        file.write_text(f"n{secrets.token_hex(5)}\n")
    return NodeId(file.read_text().strip())


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = file.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(f"{text}\n")
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
