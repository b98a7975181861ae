#!/usr/bin/env bash
# Makes sure that the programs which tests start are there; asks no network when they are.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin # where Debian keeps them, and not every user looks

declare -A package_of=([sipp]=sip-tester [ip]=iproute2 [initdb]=postgresql-15 [node]=nodejs [npm]=npm [chromium]=chromium)

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
if [[ " ${missing[*]:-} " == *" postgresql-15 "* ]] && [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common ]; then
    # The tests start a server of their own; Debian shall make and start none.
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
fi
[ ${#missing[@]} -eq 0 ] || tools/apt_install.sh "${missing[@]}"
tools/test_packages.sh
