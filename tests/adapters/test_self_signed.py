"""A certificate of one's own making."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from ringbridge.adapters.self_signed import LIFE, ensure_self_signed
from ringbridge.api.http.server import ApiServer
from tests.api.world import running_world

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_it_is_kept_until_it_runs_out_or_the_names_change(tmp_path: Path) -> None:
    files = ensure_self_signed(tmp_path / "tls", ["192.0.2.1", "pbx.example.com"], now=NOW)
    first = files.certificate.read_bytes()
    assert stat.S_IMODE(files.private_key.stat().st_mode) == 0o600
    assert ensure_self_signed(tmp_path / "tls", ["192.0.2.1", "pbx.example.com"], now=NOW + timedelta(days=1)) == files
    assert files.certificate.read_bytes() == first
    ensure_self_signed(tmp_path / "tls", ["192.0.2.2"], now=NOW)
    second = files.certificate.read_bytes()
    assert second != first
    ensure_self_signed(tmp_path / "tls", ["192.0.2.2"], now=NOW + LIFE)
    assert files.certificate.read_bytes() != second


def test_a_broken_one_is_made_again(tmp_path: Path) -> None:
    files = ensure_self_signed(tmp_path, [], now=NOW)
    files.private_key.write_text("nothing of the kind")
    ensure_self_signed(tmp_path, [], now=NOW)
    assert "PRIVATE KEY" in files.private_key.read_text()


async def test_whoever_trusts_it_talks_https(tmp_path: Path) -> None:
    files = ensure_self_signed(tmp_path, [])
    async with running_world() as world:
        server = ApiServer(world.app, port=0, certificate=files.certificate, private_key=files.private_key)
        await server.start()
        try:
            trusting = ssl.create_default_context(cafile=str(files.certificate))
            async with httpx.AsyncClient(verify=trusting) as client:
                answer = await client.get(f"{server.url}/ns-api/v2/version")
        finally:
            await server.stop()
    assert server.url.startswith("https://127.0.0.1:")
    assert answer.status_code == 200
