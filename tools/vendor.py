"""Renews the JavaScript libraries that ship with the program, from npm: `tools/vendor.py [name@version …]`.

Without arguments it fetches the versions that `vendored.json` names; an argument takes another version. Each file is
kept as its makers published it, but that a bare name of another library becomes a path, since browsers resolve no
names. `vendored.json` says what each file is, under which licence, and its sha256; tests hold the files to it.
Needs npm, and is needed by nobody who runs or tests the program.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Library:
    """One package of npm: which of its files are kept, under which names, and where."""

    package: str
    folder: str
    files: dict[str, str]


LIBRARIES = (
    Library(
        "preact", "src/ringbridge/console/vendor", {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "hooks.js"}
    ),
    Library("htm", "src/ringbridge/console/vendor", {"dist/htm.mjs": "htm.js"}),
    Library("@scalar/api-reference", "src/ringbridge/reference/vendor", {"dist/browser/standalone.js": "scalar.js"}),
)
PATHS = {"preact": "./preact.js"}
"""Where a file imports a library by name: the path instead."""


def fetch(package: str, version: str, into: Path) -> Path:
    """Return the folder of a package as npm has it."""
    name = f"{package}@{version}" if version else package
    told = subprocess.run(["npm", "pack", name, "--json"], cwd=into, check=True, capture_output=True, text=True)  # noqa: S607 - found on the PATH, as for whoever runs it
    file = into / json.loads(told.stdout)[0]["filename"]
    folder = into / package
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def with_paths(text: str) -> str:
    """Return a module whose imports are paths."""
    names = "|".join(PATHS)
    text = re.sub(rf'(from|import)(\s*)"({names})"', lambda one: f'{one[1]}{one[2]}"{PATHS[one[3]]}"', text)
    return re.sub(r"\n//# sourceMappingURL=.*\s*$", "\n", text)


def keep(library: Library, version: str, notes: list[dict[str, str]]) -> None:
    """Put a library's files into place and note what they are."""
    folder = ROOT / library.folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        package = fetch(library.package, version, Path(temporary))
        about = json.loads((package / "package.json").read_text())
        licence = f"{library.package.removeprefix('@').replace('/', '-')}-LICENSE.txt"
        if (package / "LICENSE").exists():
            shutil.copyfile(package / "LICENSE", folder / licence)
        elif not (folder / licence).exists():
            raise SystemExit(
                f"{library.package} brings no LICENSE: put the one of its repository at {folder / licence}"
            )
        for source, name in library.files.items():
            text = with_paths((package / source).read_text())
            (folder / name).write_text(text)
            notes.append(
                {
                    "file": name,
                    "package": library.package,
                    "version": about["version"],
                    "licence": about["license"],
                    "licence-file": licence,
                    "source": source,
                    "source-sha256": hashlib.sha256((package / source).read_bytes()).hexdigest(),
                    "sha256": hashlib.sha256(text.encode()).hexdigest(),
                }
            )
        print(f"{library.package} {about['version']} ({about['license']}): {', '.join(library.files.values())}")


def main(arguments: list[str]) -> int:
    """Renew everything; return the exit status."""
    asked = dict(argument.rpartition("@")[::2] for argument in arguments)
    if unknown := asked.keys() - {library.package for library in LIBRARIES}:
        print(f"not among the libraries here: {', '.join(sorted(unknown))}")
        return 1
    for folder in dict.fromkeys(library.folder for library in LIBRARIES):
        list_file = ROOT / folder / "vendored.json"
        before = json.loads(list_file.read_text()) if list_file.exists() else []
        kept = {note["package"]: note["version"] for note in before}
        notes: list[dict[str, str]] = []
        for library in LIBRARIES:
            if library.folder == folder:
                keep(library, asked.get(library.package, kept.get(library.package, "")), notes)
        list_file.write_text(json.dumps(notes, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
