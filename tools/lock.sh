#!/usr/bin/env bash
# Makes the lock files: every package with its version and the hashes of its files, and no address of any index.
# `tools/lock.sh --upgrade` takes the newest versions; without it, only what the .in files ask for changes.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile requirements.in requirements-build.in --output-file requirements.lock "$@"
compile requirements-dev.in --output-file requirements-dev.lock "$@"
compile requirements-clients.in --output-file requirements-clients.lock "$@"
.venv/bin/python tools/check_locks.py
