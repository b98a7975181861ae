"""Records the examples of the OpenAPI document from a run of the API: `tools/examples.py`.

The story that is asked is in `tests/api/recording.py`; `tests/api/test_examples.py` fails when an example is no longer
what a run answers.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.api.recording import Examples, recorder, told_story  # noqa: E402 - found once the path is set

FILE = ROOT / "src" / "ringbridge" / "api" / "document" / "examples.json"


async def recorded(folder: Path) -> Examples:
    """Return what every operation answers."""
    async with recorder(folder) as one:
        return await told_story(one)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        examples = asyncio.run(recorded(Path(folder)))
    FILE.write_text(json.dumps(examples, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(examples)} operations in {FILE.relative_to(ROOT)}")
