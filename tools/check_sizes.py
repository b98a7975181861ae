"""Checks that no module grows past what a reader keeps in mind (style.md 12)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_LINES = 400


def main() -> int:
    """Print each module above the limit; return the exit status."""
    too_long = {
        path.relative_to(ROOT): lines
        for path in sorted((ROOT / "src").rglob("*.py"))
        if (lines := len(path.read_text().splitlines())) > LIMIT_LINES
    }
    for path, lines in too_long.items():
        print(f"{path}: {lines} lines, {LIMIT_LINES} at most: split it by operation")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
