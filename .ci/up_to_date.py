"""Check that generated pages are up to date: ``make generated`` changes none of them.

A page that was not is written by the check itself: look at it, and commit it. The pages are written by the Python that
runs this file, and nothing is installed: by itself ``make generated`` would make an environment where there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A path from here, since make takes none that has a space; --old-file: nothing is installed, whatever is there.
BIN = os.path.relpath(Path(sys.executable).parent, ROOT)
COMMAND = ["make", "--silent", f"BIN={BIN}", "--old-file=.venv/.installed", "generated"]


def pages() -> dict[str, bytes]:
    """Return the text of every page, by its path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.json"))]
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in paths}


def main() -> int:
    before = pages()
    subprocess.run(COMMAND, cwd=ROOT, check=True)
    after = pages()
    stale = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    for name in stale:
        print(f"{name}: was not what the source says; it is written again, commit it")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
