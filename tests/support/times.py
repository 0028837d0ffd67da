"""Files of results without their times, for comparing what two runs of one benchmark must have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path

# By the file's name, the block of it that says when, where and for how long runs were trained.
KEYS = {"runs.json": ("times",), "record.json": ("attempts", "finished", "seconds")}
SECTIONS = {"environment.html": rb'(?s)<section id="times".*?</section>', "README.md": rb"(?s)\n## Times\n.*?(?=\n## )"}
# Nothing but times: of steps, and of the file system beside the digests of all other files.
TIMES_ALONE = ("timings.csv", "basis.json")


def without_times(path: Path) -> bytes:
    """Return a file's bytes without its block of times; a list of runs and a record as JSON in one form."""
    data = path.read_bytes()
    if path.name in KEYS:
        content = json.loads(data)
        for key in KEYS[path.name]:
            del content[key]
        return json.dumps(content).encode()
    if path.name in SECTIONS:
        data, cut = re.subn(SECTIONS[path.name], b"", data)
        assert cut == 1, f"{path} has {cut} blocks of times"
    return data
