"""What the generator writes works as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import counterpoise
from counterpoise.cli.app import main
from counterpoise.cli.derive import write_benchmark
from counterpoise.components import read_components
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError
from counterpoise.results.names import find_values
from counterpoise.runs.changed import check_raw_data
from counterpoise.runs.layout import layout_of
from counterpoise.runs.machine import choose_device
from counterpoise.runs.run import run_of
from counterpoise.runs.train import train_run
from counterpoise.testing.new import FAMILIES, new_dataset, new_encoder, new_method

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


def test_an_encoder_is_declared_and_passes_its_own_test(tmp_path):
    written = new_encoder("half", tmp_path)
    (found,) = read_components("encoder", "half", written[0])
    assert (found.name, found.class_name) == ("half", "Half")
    assert 'half = "counterpoise_half"' in written[2].read_text()
    metadata = tmp_path / "half/counterpoise_half-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counterpoise-half\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[counterpoise.encoders]\nhalf = counterpoise_half\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path / "half"), str(SOURCE)))}
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(written[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    files = [str(path) for path in written if path.suffix == ".py"]
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--config", str(SOURCE.parent / "pyproject.toml"), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_an_encoder_goes_among_the_built_in_ones_in_a_checkout(tmp_path):
    (tmp_path / "src/counterpoise/models").mkdir(parents=True)
    written = [path.relative_to(tmp_path).as_posix() for path in new_encoder("half", tmp_path)]
    assert written == ["src/counterpoise/models/half.py", "tests/models/test_half.py"]
    with pytest.raises(UserError, match="encoder 'mlp': is already declared"):
        new_encoder("mlp", tmp_path)


def test_the_guides_trace_and_table_are_those_of_what_is_written(tmp_path, repository, monkeypatch, capsys):
    shutil.copytree(repository / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    new_dataset("my_data", tmp_path)
    guide = (repository / "docs/guides/own-data.md").read_text()
    (name,) = re.findall(r"^counterpoise trace (\S+) -b my_data", guide, re.MULTILINE)
    plan = counterpoise.plan("my_data")
    assert len(find_values(layout_of(plan, Path()), name)) == 1
    for table in re.findall(r"^counterpoise table own\.(\S+) -b my_data", guide, re.MULTILINE):
        assert ("own", table) in plan.tables
    assert main(["plan", "-b", "my_data"]) == 0
    said = capsys.readouterr().out
    assert "nothing says how large it is" in said
    assert "0 B" not in said
    assert "not published" not in said, "nobody publishes files of one's own"
    model = Path("configs/models/my_data.yaml")
    model.write_text(model.read_text().replace("first:", "fist:"))
    with pytest.raises(UserError, match="dataset 'my_data' has no modality 'fist'; did you mean 'first'"):
        counterpoise.plan("my_data")


def test_what_comes_next_is_said_of_a_new_method_and_encoder(tmp_path, capsys):
    assert main(["new", "method", "half_way", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    formula = tmp_path / "half_way/counterpoise_half_way.py"
    install = f"pip install -e {tmp_path / 'half_way'}"
    assert said == f"next: write its formula into {formula}; {install}; counterpoise check half_way"
    assert main(["new", "encoder", "small_net", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"next: pip install -e {tmp_path / 'small_net'}; name it, as 'component: small_net'")
    (tmp_path / "src/counterpoise/methods").mkdir(parents=True)
    assert main(["new", "method", "other_way", "--root", str(tmp_path)]) == 0
    assert "pip" not in capsys.readouterr().out


def test_a_dataset_of_files_gives_a_table_as_it_stands(tmp_path, repository, monkeypatch):
    shutil.copytree(repository / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    assert main(["new", "dataset", "my_data"]) == 0
    plan = counterpoise.plan("my_data", seeds=[0])
    (data,) = plan.datasets
    prepare_dataset(data.component, data.settings, Path("data/raw"), data.directory, data.key, workers=0)
    for cell in plan.cells:
        train_run(run_of(plan, cell, 0, Path()), choose_device("cpu"))
    assert write_benchmark(plan, Path()) == []
    accuracy = counterpoise.load("my_data").numbers.query("metric == 'accuracy'").set_index("row")
    assert accuracy["n"].tolist() == [1, 1, 1]
    assert accuracy["mean"].min() > 60, "three classes that are easy to tell apart"
    table = Path("results/my_data/tables/own/methods.md").read_text()
    assert all(row in table for row in ("One joint loss", "Uniform baseline", "MMPareto"))
    with pytest.raises(UserError, match="is there already; nothing was written"):
        new_dataset("my_data", tmp_path)
    with Path("data/raw/my_data/first_test.csv").open("a") as file:
        file.write("1,2,3,4,5,6\n")
    with pytest.raises(
        UserError, match=r"first_test.csv has changed.*raise 'version' in configs/datasets/my_data.yaml"
    ):
        check_raw_data(plan, Path())
