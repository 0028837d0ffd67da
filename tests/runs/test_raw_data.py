"""A workflow does not train on arrays that were made from other raw files than are there now."""

import contextlib
import json
import shutil

import data_trees
import pytest
import yaml

from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.prepared import PreparedData
from counterpoise.errors import UserError
from counterpoise.planning.plan import make_plan
from counterpoise.runs.changed import check_raw_data
from counterpoise.runs.layout import layout_of


@pytest.fixture
def project(tmp_path, repository):
    """A project with one table on CG-MNIST, from the user's own files, prepared."""
    shutil.copytree(repository / "configs", tmp_path / "configs")
    data_trees.mnist(tmp_path / "own")
    path = tmp_path / "configs/benchmarks/mine.yaml"
    original = yaml.safe_load((repository / "configs/benchmarks/mnist.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**original, "name": "mine", "data_roots": {"mnist": str(tmp_path / "own")}}))
    plan = make_plan(tmp_path, path)
    for data in plan.datasets:
        prepare_dataset(
            data.component,
            data.settings,
            tmp_path / "data/raw",
            tmp_path / data.directory,
            data.key,
            data_roots={"mnist": tmp_path / "own"},
            workers=0,
        )
    return tmp_path, plan


def test_unchanged_and_missing_files_are_no_trouble(project):
    root, plan = project
    check_raw_data(plan, root)
    shutil.rmtree(root / "own")
    check_raw_data(plan, root)


def test_a_changed_file_is_said(project):
    root, plan = project
    data_trees.mnist(root / "own", train=50)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz has changed.*counterpoise data prepare"):
        check_raw_data(plan, root)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: [],
        lambda manifest: manifest | {"sources": None},
        lambda manifest: manifest | {"sources": ["train-images"]},
        lambda manifest: manifest | {"splits": []},
        lambda manifest: manifest | {"raw": "x"},
        lambda manifest: manifest | {"extras": 5, "sources": []},
        lambda manifest: {name: value for name, value in manifest.items() if name != "sources"},
    ],
)
def test_a_manifest_of_another_form_is_named_with_what_makes_it_again(project, change):
    root, plan = project
    path = root / plan.datasets[0].directory / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest of prepared data: .*; delete .* and run:"):
        PreparedData.open(path.parent)
    with contextlib.suppress(UserError):
        check_raw_data(plan, root)
        layout_of(plan, root)


@pytest.mark.parametrize(
    "change", [{"leaks": 5}, {"targets": {"digit": 5}}, {"targets": {"digit": {"names": 5}}}, {"splits": {"train": {}}}]
)
def test_an_entry_of_another_form_in_a_manifest_is_named(project, change):
    root, plan = project
    path = root / plan.datasets[0].directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(
        UserError, match=rf"manifest\.json: not a manifest .*run: .*\): .*{next(iter(change))}"
    ) as refused:
        layout_of(plan, root)
    assert "\n" not in str(refused.value)
