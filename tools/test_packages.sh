#!/usr/bin/env bash
# Installs what tests take besides .venv: what makes clients of the API from its OpenAPI document (the Python one in
# .venv-clients, the TypeScript one in tests/live/typescript/node_modules), and what looks at pages in a browser (in
# tests/browser/node_modules). Asks no network when the lock files are what was installed.
set -euo pipefail
cd "$(dirname "$0")/.."

exec 9<tools/test_packages.sh # two at once: the second waits, and then finds nothing to do
flock 9

is_done() { # stamp, files → whether they are what the stamp says
    [ -f "$1" ] && [ "$(cat "$1")" = "$(pwd; cat "${@:2}")" ]
}

venv=.venv-clients
if ! is_done $venv/.ringbridge-done requirements-clients.lock; then
    echo "setup: installing requirements-clients.lock" >&2
    rm -rf $venv
    .venv/bin/python -m venv $venv
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        $venv/bin/python -m pip install --quiet --quiet --require-hashes -r requirements-clients.lock
    { pwd; cat requirements-clients.lock; } >$venv/.ringbridge-done
fi

for folder in tests/live/typescript tests/browser; do
    if ! is_done $folder/node_modules/.ringbridge-done $folder/package-lock.json; then
        echo "setup: installing $folder/package-lock.json" >&2
        npm --prefix $folder ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
        { pwd; cat $folder/package-lock.json; } >$folder/node_modules/.ringbridge-done
    fi
done
