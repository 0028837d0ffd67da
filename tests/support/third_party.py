"""A package of somebody else's that adds a method, installed as anybody would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "methods/third_party/halfway"


def install_halfway(site: Path, scratch: Path) -> Path:
    """Install the package into the folder ``site`` and return it; ``scratch`` is an empty folder."""
    package = scratch / "halfway"
    package.mkdir()
    for file in SOURCE.iterdir():
        if file.is_file():  # built from a copy: pip leaves its build folder beside the source
            (package / file.name).write_bytes(file.read_bytes())
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(package)],
        check=True,
        capture_output=True,
    )
    return site
