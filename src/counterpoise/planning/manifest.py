"""The manifest of prepared data, as planning, training and what looks at data read it: whole, or named as torn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from counterpoise.errors import UserError
from counterpoise.files import read_json

MANIFEST = "manifest.json"
_PARTS = {
    "splits": dict,
    "modalities": dict,
    "targets": dict,
    "extras": dict,
    "raw": dict,
    "sources": list,
    "dropped": list,
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of prepared data, for those who need no array.

    Raises:
        UserError: it is missing or torn, or has not the parts of a manifest; names the file.
    """
    where = Path(folder) / MANIFEST
    manifest: dict[str, Any] = read_json(where, "manifest of prepared data")
    problem = _problem(manifest)
    if problem:
        raise UserError(f"{where}: not a manifest of prepared data: {problem}; {data_again(Path(folder))}")
    return manifest


def _problem(manifest: Any) -> str:
    """Return what of a manifest has not the form that it is read in; what is not there is missed where it is needed."""
    if not isinstance(manifest, dict):
        return "it has no keys"
    for name, kind in _PARTS.items():
        if not isinstance(manifest.get(name, kind()), kind):
            return f"'{name}' is no {kind.__name__}"
    entries = (*manifest.get("splits", {}).values(), *manifest.get("sources", ()), *manifest.get("dropped", ()))
    return "" if all(isinstance(entry, dict) for entry in entries) else "an entry has no keys"


def data_again(path: Path) -> str:
    """Return what makes the prepared data at ``path`` anew."""
    return f"delete {path} and run: counterpoise data prepare {path.name.rpartition('.')[0]}"
