"""What the generator writes works as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.components import read_components
from counterpoise.errors import UserError
from counterpoise.testing.new_method import FAMILIES, new_method

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_in_a_checkout_it_goes_among_the_built_in_methods(tmp_path):
    (tmp_path / "src/counterpoise/methods").mkdir(parents=True)
    written = new_method("half_way", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "src/counterpoise/methods/half_way.py",
        "tests/methods/test_half_way.py",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_declared_as_asked_for(tmp_path, family):
    file, *_ = new_method("half_way", tmp_path, family)
    (found,) = read_components("method", "half_way", file)
    assert (found.name, found.class_name) == ("half_way", "HalfWay")
    assert (found.info.family, found.info.title) == (family, "Half way")


@pytest.mark.slow
def test_every_family_passes_its_own_test_and_the_linter(tmp_path):
    written = [path for family in FAMILIES for path in new_method(f"half_{family}", tmp_path, family)]
    for family in FAMILIES:  # declared by entry point from a folder, as an editable installation would be
        name = f"half_{family}"
        metadata = tmp_path / name / f"counterpoise_{name}-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: counterpoise-{name}\nVersion: 0.1.0\n")
        (metadata / "entry_points.txt").write_text(f"[counterpoise.methods]\n{name} = counterpoise_{name}\n")
    folders = [str(tmp_path / f"half_{family}") for family in FAMILIES]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((*folders, str(SOURCE)))}
    python = [str(path) for path in written if path.suffix == ".py"]
    tests = [path for path in python if "test_" in path.rpartition("/")[2]]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout
    config = str(SOURCE.parent / "pyproject.toml")
    for check in (["check", "--config", config], ["format", "--check", "--config", config]):
        command = [sys.executable, "-m", "ruff", *check, *python]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "family", "said"),
    [
        ("Half", "loss", "lower-case letters"),
        ("half-way", "loss", "lower-case letters"),
        ("class", "loss", "lower-case letters"),
        ("mmpareto", "loss", "already declared"),
        ("half", "integrations", "did you mean 'integration'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tmp_path, name, family, said):
    with pytest.raises(UserError, match=said) as error:
        new_method(name, tmp_path, family)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    first, *_ = new_method("half", tmp_path)
    first.write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        new_method("half", tmp_path)
    assert first.read_text() == "mine"
