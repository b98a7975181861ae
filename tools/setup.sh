#!/usr/bin/env bash
# Makes .venv hold exactly what a lock file says, and Ringbridge itself: `tools/setup.sh run` or `tools/setup.sh dev`.
#
# A stamp in .venv says for which lock file, interpreter and folder that has been done; while it matches, nothing is
# asked of any network. A setup that was cut short leaves a mark behind, and the next one starts from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-dev}
case $kind in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "usage: tools/setup.sh run|dev" >&2; exit 2 ;;
esac
venv=.venv
unfinished=$venv/.ringbridge-unfinished

say() { printf 'setup: %s\n' "$*" >&2; }

fingerprint() { # lock file → what the stamp holds when it has been installed
    { pwd; cat "$1" pyproject.toml requirements.in tools/setup.sh; "$venv/bin/python" --version; } | sha256sum | cut -d' ' -f1
}

is_done() { # kind, lock file; what `dev` installs has all of `run`
    [ -f "$venv/.ringbridge-$1" ] && [ ! -e "$unfinished" ] && [ -x "$venv/bin/ringbridge" ] &&
        [ "$(cat "$venv/.ringbridge-$1")" = "$(fingerprint "$2")" ]
}

is_usable() { # a venv made here, whose interpreter and pip start
    [ ! -e "$unfinished" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
        head -n 3 "$venv/bin/pip" | grep -qF "$PWD/$venv/"
}

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"; return
        fi
    done
    say "no Python 3.11 or later found; on Debian: apt-get install python3"
    exit 1
}

make_venv() {
    local python version
    python=$(find_python)
    rm -rf "$venv"
    # Debian keeps ensurepip in a package of its own; without it `-m venv` fails halfway.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        tools/apt_install.sh "$version"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
}

install() {
    say "installing $lock (once; nothing is fetched again until it changes)"
    touch "$unfinished"
    rm -f "$venv"/.ringbridge-run "$venv"/.ringbridge-dev
    pip_install --require-hashes -r "$lock"
    pip_install --no-deps --no-build-isolation --no-index -e .
    "$venv/bin/python" -m compileall -q src # pip does this for the others; a start is a second shorter with it
    fingerprint "$lock" >"$venv/.ringbridge-$kind"
    rm -f "$unfinished"
}

pip_install() {
    local status=0
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        "$venv/bin/python" -m pip install --quiet --quiet "$@" || status=$?
    [ "$status" -eq 0 ] && return
    # Above 128 it was killed, and nobody knows what it left; otherwise it put back what it had begun.
    [ "$status" -gt 128 ] || rm -f "$unfinished"
    say "pip failed; the first setup, and one after a change of $lock, needs a network"
    exit 1
}

exec 9<tools/setup.sh # two setups at once: the second waits, and then finds nothing to do
flock 9

if is_done "$kind" "$lock" || { [ "$kind" = run ] && is_done dev requirements-dev.lock; }; then
    exit 0
fi
is_usable || make_venv
install
