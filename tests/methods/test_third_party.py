"""A method from another package, installed as anybody would, is found and passes the suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from third_party import install_halfway

PROGRAM = """
import json, sys
from counterpoise.components import component
found = component("method", "halfway")
torch_at_planning = "torch" in sys.modules
from counterpoise.testing.conformance import check_method
failed = [f"{r.name}: {r.detail}" for r in check_method("halfway") if not r.passed]
print(json.dumps({
    "module": found.module, "settings": list(found.settings), "title": found.info.title,
    "torch_at_planning": torch_at_planning, "failed": failed,
}))
"""


def python(arguments: list[str], extra: Path) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the package of this checkout and one more folder on its path."""
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(extra), source))}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    return install_halfway(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def seen(installed) -> dict:
    done = python(["-c", PROGRAM], installed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_found_by_its_entry_point(seen):
    assert seen["module"] == "counterpoise_halfway"
    assert (seen["title"], seen["settings"]) == ("Halfway", ["share"])


def test_its_declaration_is_read_without_torch(seen):
    assert not seen["torch_at_planning"]


def test_it_passes_the_conformance_suite(seen):
    assert seen["failed"] == []


def test_without_it_the_name_is_unknown():
    done = python(["-c", PROGRAM], Path())
    assert done.returncode != 0
    assert "unknown method 'halfway'" in done.stderr
