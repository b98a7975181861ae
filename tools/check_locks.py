"""Checks, without a network, that the lock files say what the .in files ask for, hashed, and name no address."""

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.lock": ("requirements.in", "requirements-build.in"),
    "requirements-dev.lock": ("requirements.in", "requirements-build.in", "requirements-dev.in"),
    "requirements-clients.lock": ("requirements-clients.in",),
}
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)
ADDRESS = re.compile(r"://|--(?:extra-)?index|--find-links|@ |\s/[a-z]+/", re.IGNORECASE)


def wanted(name: str) -> list[Requirement]:
    """Return what one .in file asks for."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def faults(lock: str, sources: tuple[str, ...]) -> list[str]:
    """Return what is wrong with one lock file."""
    path = ROOT / lock
    if not path.exists():
        return [f"{lock}: missing"]
    text = path.read_text()
    found = [f"{lock}:{n}: an address: {line}" for n, line in enumerate(text.splitlines(), 1) if ADDRESS.search(line)]
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    pins: dict[str, str] = {}
    direct: set[str] = set()
    for block in blocks:
        if not (pin := PIN.match(block)):
            continue
        name = canonicalize_name(pin["name"])
        pins[name] = pin["version"]
        if "--hash=sha256:" not in block:
            found.append(f"{lock}: {name} has no hash")
        if any(re.search(rf"-r {re.escape(source)}\b", block) for source in sources):
            direct.add(name)
    asked = [one for source in sources for one in wanted(source)]
    for one in asked:
        name = canonicalize_name(one.name)
        if name not in pins:
            found.append(f"{lock}: {one} is asked for and not locked")
        elif not one.specifier.contains(pins[name], prereleases=True):
            found.append(f"{lock}: {name} is locked at {pins[name]}, asked for as {one}")
    names = {canonicalize_name(one.name) for one in asked}
    found += [f"{lock}: {name} is locked and no longer asked for" for name in sorted(direct - names)]
    return found


def main() -> int:
    """Print every fault; return the exit status."""
    found = [fault for lock, sources in LOCKS.items() for fault in faults(lock, sources)]
    for fault in found:
        print(fault)
    if found:
        print("`make lock` makes them anew")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
