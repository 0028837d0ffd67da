"""Looking at datasets, and the commands that fetch and prepare them on their own."""

import errno
import fnmatch
import io
import os
import shutil

import data_trees
import pytest
from typer.testing import CliRunner

from counterpoise.cli.data import _print_status, _print_weights, _status, app, mirror_app
from counterpoise.data import mirrors
from counterpoise.data.clips import Item
from counterpoise.data.interface import Dataset
from counterpoise.data.inventory import take_inventory
from counterpoise.data.sources import RawFiles
from counterpoise.data.status import _next_step
from counterpoise.declare import DatasetInfo
from counterpoise.errors import UserError
from counterpoise.planning.configs import Configs
from counterpoise.reporting.terminal import make_console
from counterpoise.testing.new import new_dataset
from counterpoise.weights import WEIGHTS, weights_of


@pytest.fixture
def project(tmp_path, repository):
    shutil.copytree(repository / "configs", tmp_path / "project/configs")
    return tmp_path / "project"


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_every_dataset_config_can_be_looked_at_before_anything_is_fetched(project):
    names = Configs(project / "configs").names("datasets")
    assert {"cg_digits", "crema_d", "kinetics_sounds", "nyuv2"} <= set(names)
    for name in names:
        found = _status(project, name, {})
        assert found.prepared is None
        assert found.licence
        assert found.complete == (name in ("cg_digits", "multi_digits"))
        by_hand = name.startswith(("kinetics", "ucf101")) or name == "cmu_mosi_mult"
        command = f"counterpoise data {'prepare' if found.complete else 'fetch'} {name}"
        # No command can bring what has no address.
        assert (found.next_step == command) is not by_hand


def test_files_are_counted_and_wrong_ones_named(project, shared):
    raw = project / "data/raw/mnist"
    raw.mkdir(parents=True)
    for path in (shared / "mirror/mnist").iterdir():
        shutil.copyfile(path, raw / path.name)
    found = _status(project, "cg_mnist", {})
    assert (found.files, found.missing, found.wrong) == (4, (), ())
    assert found.size == sum(path.stat().st_size for path in raw.iterdir())
    labels = raw / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(bytes(byte ^ 1 for byte in labels.read_bytes()))
    (raw / "train-images-idx3-ubyte.gz").unlink()
    found = _status(project, "cg_mnist", {})
    assert found.missing == ("train-images-idx3-ubyte.gz",)
    assert "sha256" in found.wrong[0]


def test_a_dataset_is_fetched_and_prepared_alone(project, shared):
    run(app, "fetch", "multi_mnist", "--mirror", shared / "mirror", "--root", project)
    output = run(app, "prepare", "multi_mnist", "--root", project)
    assert "train 60000, test 10000" in output
    assert _status(project, "multi_mnist", {}).prepared is not None


def test_status_fits_a_terminal_of_80_columns_and_cuts_no_name_licence_or_command(project):
    names = Configs(project / "configs").names("datasets")
    out = io.StringIO()
    found = {name: _status(project, name, {}) for name in names}
    console = make_console(out, width=80)
    _print_status(found, False, console)
    _print_weights(project, console)
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert {line.split()[0] for line in lines[1 : 1 + len(names)]} == set(names)
    text = " ".join(out.getvalue().split())
    for status in found.values():
        assert status.licence in text
    for command in ("counterpoise data fetch NAME ave, cg_mnist,", "counterpoise data prepare NAME cg_digits, multi_"):
        assert command in text
    assert "missing: text_train0.csv, text_test0.csv, audio_train0.csv and 4 more cmu_mosi" in text


def test_where_media_are_missing_the_next_step_is_one_that_brings_them(project, shared, tmp_path):
    grid = _status(project, "grid", {"grid": shared / "mirror/grid"})
    assert (grid.items, grid.listed) == (50, 1000)
    assert "unpacks s1.zip where no clip is there yet" in grid.next_step
    own = data_trees.crema_d(tmp_path / "own")
    assert _status(project, "crema_d", {"crema_d": own}).next_step == "counterpoise data prepare crema_d"
    shutil.rmtree(own / "VideoFlash")
    assert _status(project, "crema_d", {"crema_d": own}).next_step == "counterpoise data fetch crema_d"


def test_packing_whatever_is_here_says_what_is_not_complete(project, shared, tmp_path):
    run(app, "fetch", "cg_mnist", "--mirror", shared / "mirror", "--root", project)
    output = run(mirror_app, "pack", tmp_path / "packed", "--root", project)
    assert "4 files of cg_digits, cg_mnist, multi_digits, multi_mnist" in output
    assert "not complete here, so not packed (counterpoise data status): ave, cmu_mosi," in output


def test_a_mirror_is_packed_from_what_is_here_and_verified(project, shared, tmp_path):
    run(app, "fetch", "cg_mnist", "--mirror", shared / "mirror", "--root", project)
    run(mirror_app, "pack", tmp_path / "packed", "cg_mnist", "--root", project)
    assert "4 files are as listed" in run(mirror_app, "verify", tmp_path / "packed")
    os.truncate(tmp_path / "packed/mnist/t10k-labels-idx1-ubyte.gz", 10)
    with pytest.raises(UserError, match="1 changed"):
        run(mirror_app, "verify", tmp_path / "packed")


class Pictures(Dataset):
    """A dataset of two listed files that declares neither ``max_dropped`` nor ``how_to_get``."""

    info = DatasetInfo("pictures", "Pictures", "multimodal", ("image",), ("kind",), licence="none", paper="")
    folder = "pictures"

    def listed_items(self, raw):
        return {"train": [Item(name, {"kind": 0}, (raw / f"{name}.png",), name) for name in ("one", "two")]}


def test_a_dataset_that_says_nothing_of_missing_items_must_have_all_of_them(tmp_path):
    (tmp_path / "one.png").touch()
    raw = RawFiles((tmp_path,))
    with pytest.raises(UserError, match=r"1 of 2 items cannot be used.*two\. Nothing of it was packed"):
        mirrors.pack([(Pictures(), raw)], tmp_path / "packed")
    found = take_inventory(Pictures(), raw)
    assert _next_step("pictures", Pictures(), raw, found) == f"put the files that are missing below {tmp_path}"


def test_an_unknown_dataset_is_named_with_the_nearest(project):
    with pytest.raises(UserError, match="did you mean 'crema_d'"):
        run(app, "fetch", "cremad", "--root", project)


def test_a_data_root_without_a_name_is_refused(project):
    with pytest.raises(UserError, match="must be name=folder"):
        run(app, "fetch", "crema_d", "--data-root", "/somewhere", "--root", project)


def test_clips_in_the_users_own_folder_show_as_there(project, shared, tmp_path):
    folder = tmp_path / "grid"
    shutil.copytree(shared / "mirror/grid", folder)
    found = _status(project, "grid_sample", {"grid": folder})
    assert found.missing == ()
    assert (found.items, found.listed) == (50, 50)
    assert found.size > 20_000_000


def test_media_are_counted_against_the_lists(project, tmp_path):
    own = data_trees.kinetics_sounds(tmp_path / "own")
    found = _status(project, "kinetics_sounds", {"kinetics_sounds": own})
    # One of the eight listed training clips is missing in the tree.
    assert (found.items, found.listed) == (11, 12)
    assert not found.complete


def test_nothing_advises_to_delete_or_replace_the_users_own_files(project, tmp_path):
    own = data_trees.mnist(tmp_path / "own")
    found = _status(project, "cg_mnist", {"mnist": own})
    assert found.wrong == ()
    assert len(found.remarks) == 4
    assert all("is not the published file; it is used as it is" in text for text in found.remarks)
    output = run(app, "status", "cg_mnist", "--data-root", f"mnist={own}", "--root", project)
    assert "delete it" not in output


def test_weights_are_listed_with_their_licences(project):
    output = run(app, "status", "--root", project)
    assert "wav2vec2_large_lv60k" in output
    assert "BSD-3-Clause" in output


def test_the_docs_have_every_file_of_weights_with_its_licence_and_the_models_that_start_from_it(repository):
    text = (repository / "docs/datasets.md").read_text(encoding="utf-8")
    section = text.split("## Pretrained weights\n")[1].split("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in section.splitlines() if "|" in line][2:]
    shown = {name: (licence, "" if models == "none here" else models) for name, _, licence, models in rows}
    configs, starts = Configs(repository / "configs"), {name: [] for name in WEIGHTS}
    for model in configs.names("models"):
        for weights in weights_of(configs.model(model).model_dump()):
            starts[weights.name].append(model)
    assert {name: licence for name, (licence, _) in shown.items()} == {w.name: w.licence for w in WEIGHTS.values()}
    for name, (_, pattern) in shown.items():
        assert starts[name] == fnmatch.filter(configs.names("models"), pattern), name


def test_files_without_a_licence_on_record_get_no_empty_line(project):
    new_dataset("mine", project)
    output = run(app, "status", "mine", "--root", project)
    assert "licences:" not in output
    assert "licences:" in run(app, "status", "mine", "cmu_mosi", "--root", project)


@pytest.fixture
def unreadable(monkeypatch):
    """Let a path, and what is below it, be one that this user may not look at, which tests may run as root."""
    places = []

    def refuse(real):
        def call(path, *arguments, **options):
            place = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
            if any(place.startswith(str(folder)) for folder in places):
                raise PermissionError(errno.EACCES, "Permission denied", place)
            return real(path, *arguments, **options)

        return call

    for name in ("stat", "scandir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    return places.append


def refused(command, *arguments):
    """Return what a command prints before it is refused, and the refusal."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert isinstance(result.exception, UserError), result.output
    return result.output, str(result.exception)


def test_a_dataset_that_cannot_be_looked_at_does_not_hide_the_others(project, unreadable):
    (project / "data/raw/grid").mkdir(parents=True)
    unreadable(project / "data/raw/grid")
    (project / "configs/datasets/torn.yaml").write_text("settings: [")
    output, error = refused(app, "status", "--root", project)
    rows = {line.split()[0]: line for line in output.splitlines() if line and not line.startswith(" ")}
    assert {*Configs(project / "configs").names("datasets")} <= set(rows)
    assert rows["grid"].split() == ["grid", "unknown"]
    assert rows["cg_digits"].split()[-1] == "no"
    assert "pretrained weights:" in output
    assert f"grid ({project}/data/raw/grid/s1.zip: Permission denied)" in error
    assert "torn.yaml:2:1: not readable as YAML" in error


def test_of_one_dataset_that_cannot_be_looked_at_only_the_reason_is_said(project):
    output, error = refused(app, "status", "cremad", "--root", project)
    assert "dataset" not in output
    assert "did you mean 'crema_d'" in error


def test_an_unreadable_file_of_a_dataset_is_named_and_the_others_counted(project, shared, monkeypatch):
    shutil.copytree(shared / "mirror/mnist", project / "data/raw/mnist")
    labels = project / "data/raw/mnist/t10k-labels-idx1-ubyte.gz"

    def check(path, source, **options):
        if path == labels:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("counterpoise.data.status.check_file", check)
    found = _status(project, "cg_mnist", {})
    assert found.wrong == (f"{labels}: Permission denied",)
    assert (found.files, found.pinned) == (4, 4)


def test_packing_whatever_is_here_goes_on_after_a_dataset_that_cannot_be_looked_at(
    project, shared, tmp_path, unreadable
):
    run(app, "fetch", "cg_mnist", "--mirror", shared / "mirror", "--root", project)
    unreadable(project / "data/raw/grid")
    output, error = refused(mirror_app, "pack", tmp_path / "packed", "--root", project)
    assert "4 files of cg_digits, cg_mnist, multi_digits, multi_mnist" in output
    assert "nothing can be packed of grid (" in error
    assert "4 files are as listed" in run(mirror_app, "verify", tmp_path / "packed")


def test_a_mirror_may_be_named_from_the_home_folder(project, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run(app, "fetch", "cg_mnist", "--mirror", shared / "mirror", "--root", project)
    run(mirror_app, "pack", "~/my mirror", "cg_mnist", "multi_mnist", "cg_mnist", "--root", project)
    assert "4 files are as listed" in run(mirror_app, "verify", "~/my mirror")
    assert (tmp_path / "home/my mirror/mnist").is_dir()


def test_weights_that_cannot_be_looked_at_are_said(project, unreadable):
    unreadable(project / "data/weights")
    out = io.StringIO()
    _print_weights(project, make_console(out, width=200))
    assert out.getvalue().count(": cannot be looked at (") == len(WEIGHTS)
