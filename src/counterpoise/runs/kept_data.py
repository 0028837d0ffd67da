"""What stays of prepared data when its arrays are deleted: what its runs' numbers mean.

Arrays take gigabytes and are not needed any more when their runs are done. Their manifest is: it says whether lists
were the published ones, what was left out, what classes are called; and so are the groups of test examples, which
statistics rest on. Both are copied to where runs are kept, when a run is trained on the data.
"""

from __future__ import annotations

from pathlib import Path

from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import GROUP
from counterpoise.files import read_bytes, write_bytes
from counterpoise.planning.manifest import MANIFEST
from counterpoise.planning.plan import PreparedDataset

KEPT = Path("results/data")


def keep(data: PreparedData, root: Path) -> None:
    """Copy what describes prepared data to ``results/data/<name>.<key>``, the manifest last."""
    arrays = [data.manifest["splits"][split]["arrays"] for split in data.splits]
    for name in (*(found[GROUP]["file"] for found in arrays if GROUP in found), MANIFEST):
        write_bytes(root / KEPT / data.path.name / name, read_bytes(data.path / name, "description of prepared data"))


def described(part: PreparedDataset, root: Path) -> Path:
    """Return the folder that describes prepared data: its own where it is there, else what was kept of it."""
    own = Path(root) / part.directory
    kept = Path(root) / KEPT / part.directory.name
    return kept if not (own / MANIFEST).is_file() and (kept / MANIFEST).is_file() else own
