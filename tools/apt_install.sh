#!/usr/bin/env bash
# Installs Debian packages when root; otherwise says the line that an administrator has to run, and fails.
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then
    printf 'Debian packages are missing. Run this once, then try again:\n\n    sudo apt-get update && sudo apt-get install -y %s\n\n' "$*" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    printf 'This is no Debian; install by hand what stands in for: %s\n' "$*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "setup: installing from Debian: $*" >&2
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends "$@" >&2
