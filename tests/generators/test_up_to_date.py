"""The check of generated pages writes them with the Python that runs it, and makes no environment."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path


def test_nothing_is_installed_where_there_is_no_environment(tmp_path, repository):
    specification = importlib.util.spec_from_file_location("up_to_date", repository / ".ci/up_to_date.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (repository / module.BIN).samefile(Path(sys.executable).parent)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, tmp_path)
    command = [*module.COMMAND, "--dry-run"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{module.BIN}/python docs/generators/") for line in lines)
