"""What `tests.cli.forked` forks commands from: the program, after a command that asked an API and had no answer."""

import contextlib
import io

from ringbridge.cli import build

with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
    build()(["users", "list", "--url", "http://127.0.0.1:1", "--key", "none"], prog_name="ringbridge")
