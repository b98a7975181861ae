#!/usr/bin/env bash
# Makes sure that the programs which tests start are there; asks no network when they are.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps ip, and not every user looks

declare -A package_of=([sipp]=sip-tester [ip]=iproute2)

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ ${#missing[@]} -eq 0 ] || tools/apt_install.sh "${missing[@]}"
