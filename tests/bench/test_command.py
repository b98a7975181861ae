"""What `ringbridge bench` refuses before it begins."""

from __future__ import annotations

import pytest

from ringbridge.cli import build


@pytest.mark.parametrize("url", ["postgresql+psycopg://me@127.0.0.1/bench", "sqlite:///s.db"])
def test_a_store_that_no_node_would_take_is_not_filled(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        build()(["bench", "cdrs", "--store-url", url])
    assert "must begin with postgresql://" in capsys.readouterr().err
