"""From names and settings to prepared data: settings that do something, own folders, raw files that change."""

import os
import shutil
import time
from pathlib import Path

import data_trees
import numpy as np
import pytest

from counterpoise.data import clips
from counterpoise.data.prepare import make_dataset, prepare_dataset, raw_changes, raw_files, read_data_roots
from counterpoise.data.prepared import PreparedData
from counterpoise.errors import UserError

SMALL = {"front_end": "ogm", "frame_size": [24, 32]}


# ---- settings ----


@pytest.mark.parametrize(
    ("component", "settings", "message"),
    [
        (
            "crema_d",
            {"front_end": "fbank", "audio_seconds": 5.0},
            "audio_seconds: has no effect with front_end 'fbank'",
        ),
        ("crema_d", {"front_end": "wave", "audio_seconds": 1e-6}, "audio_seconds: 1e-06 s leave nothing"),
        ("ave", {"front_end": "pmr", "audio_seconds": 0.02}, "audio_seconds: 0.02 s leave nothing"),
        ("crema_d", {"split": "ogm", "fold": 2}, "fold: has no effect with split 'ogm'"),
        ("cg_mnist", {"authors_variance": "0.020"}, "authors_variance: has no effect with source 'recipe'"),
        ("cg_mnist", {"source": "authors", "variance": 0.02}, "variance: has no effect with source 'authors'"),
        ("cmu_mosi", {"thresholds": [-1.0, 1.0]}, "thresholds: has no effect with labels 'binary'"),
        ("cmu_mosi", {"labels": "three", "neutral": "drop"}, "neutral: has no effect with labels 'three'"),
        ("cmu_mosi", {"pool": "mean"}, "pool: has no effect with features 'poria'"),
        ("cmu_mosi", {"labels": "three", "thresholds": [1.0, -1.0]}, "thresholds: .* the smaller first"),
        ("cmu_mosi", {"features": "mult"}, "split: .* set split: standard"),
        (
            "cmu_mosi",
            {"features": "mult", "split": "standard", "pickle": "CMU_MOSI_COVAREP.csd"},
            "pickle: .* computational sequence",
        ),
        ("kinetics_sounds", {"split_seed": 1}, "split_seed: has no effect without val_fraction"),
        ("crema_d", {"frame_size": [4, 4]}, "frame_size"),
    ],
)
def test_settings_that_do_nothing_or_leave_nothing_are_refused_by_name(component, settings, message):
    with pytest.raises(UserError, match=f"dataset {component}: {message}"):
        make_dataset(component, settings)


def test_every_configuration_of_the_repository_is_possible(repository):
    from counterpoise.planning.configs import Configs

    configs = Configs(repository / "configs")
    for name in configs.names("datasets"):
        config = configs.dataset(name)
        make_dataset(config.component, config.settings)


# ---- folders of the user's own ----


def test_a_folder_is_named_by_configuration_dataset_or_shared_folder(tmp_path):
    data = make_dataset("crema_d", {})
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    roots = {"crema_d": tmp_path / "one", "crema_d_vavl": tmp_path / "two"}
    assert raw_files(data, tmp_path / "raw", roots, "crema_d_vavl").folders[0] == tmp_path / "two"
    assert raw_files(data, tmp_path / "raw", roots, "crema_d_stft").folders[0] == tmp_path / "one"
    assert raw_files(make_dataset("cg_mnist", {}), tmp_path, {"mnist": tmp_path / "one"}).folders[0] == tmp_path / "one"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my data").mkdir()
    assert read_data_roots({"crema_d": "~/my data"}, ["crema_d"]) == {"crema_d": tmp_path / "my data"}
    assert read_data_roots({"crema_d": "my data"}, ["crema_d"], tmp_path) == {"crema_d": tmp_path / "my data"}


def test_the_home_folder_of_nobody_is_no_folder():
    roots = {"ave": "~nobody-of-this-name/ave"}
    with pytest.raises(UserError, match=r"data_roots: ave: no folder ~nobody-of-this-name/ave"):
        read_data_roots(roots, ())
    with pytest.raises(UserError, match=r"data_roots: ave: no folder ~nobody-of-this-name/ave"):
        raw_files(make_dataset("ave", {}), Path("raw"), roots)


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'crema_d_vav'; did you mean 'crema_d_vavl'"):
        read_data_roots({"crema_d_vav": tmp_path}, ["crema_d_vavl"])


@pytest.mark.parametrize("name", ["data", "data [old]", "a**b"])
def test_a_path_that_yaml_cut_at_a_comment_is_noticed(tmp_path, name):
    (tmp_path / name).mkdir()
    assert read_data_roots({"crema_d": str(tmp_path / name)}, ["crema_d"])
    (tmp_path / f"{name} #2").mkdir()
    with pytest.raises(UserError, match="contains ' #' in quotes"):
        read_data_roots({"crema_d": str(tmp_path / name)}, ["crema_d"])
    assert read_data_roots({"crema_d": str(tmp_path / f"{name} #2")}, ["crema_d"])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="data_roots: crema_d: no folder"):
        read_data_roots({"crema_d": tmp_path / "nowhere"}, ["crema_d"])
    (tmp_path / "Nowhere").mkdir()
    with pytest.raises(UserError, match="Nowhere is there, which differs in capitals"):
        read_data_roots({"crema_d": tmp_path / "nowhere/crema_d"}, ["crema_d"])


# ---- raw files that change ----


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    data_trees.crema_d(root / "own")
    prepare(root)
    return root


@pytest.fixture
def project(made, tmp_path):
    # The copies are younger than the manifest, so that each is looked into.
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def prepare(root, **more):
    place = root / "prepared/crema_d.k"
    roots = {"crema_d": root / "own"}
    return prepare_dataset("crema_d", SMALL, root / "raw", place, "k", data_roots=roots, workers=0, **more)


def test_data_made_from_the_files_that_are_there_is_served(project):
    assert prepare(project).size("train") == len(data_trees.CREMA_D) // 2


def test_swapped_files_are_noticed(project):
    one, two = (project / f"own/AudioWAV/{name}.wav" for name in data_trees.CREMA_D[:2])
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(UserError, match="made from other raw files than are there now") as caught:
        prepare(project)
    assert f"{data_trees.CREMA_D[0]} has changed" in str(caught.value)
    assert "counterpoise data prepare crema_d" in str(caught.value)


def test_a_changed_list_is_noticed(project):
    path = project / "own/ogm_ge/train.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"ogm_ge/train\.csv has changed"):
        prepare(project)


def test_files_that_were_missing_and_are_there_now_are_noticed(tmp_path):
    data_trees.crema_d(tmp_path / "own")
    late = tmp_path / f"own/VideoFlash/{data_trees.CREMA_D[0]}.flv"
    late.rename(tmp_path / "late.flv")
    roots, place = {"crema_d": tmp_path / "own"}, tmp_path / "crema_d.k"
    settings = {**SMALL, "max_dropped": 0.5}
    prepare_dataset("crema_d", settings, tmp_path / "raw", place, "k", data_roots=roots, workers=0)
    (tmp_path / "late.flv").rename(late)
    with pytest.raises(UserError, match=f"{data_trees.CREMA_D[0]} is new"):
        prepare_dataset("crema_d", settings, tmp_path / "raw", place, "k", data_roots=roots, workers=0)


def unreadable(monkeypatch, *items):
    """Let nobody read the files of some items; root may read everything."""
    real = clips.content_digest

    def digest(paths):
        if any(path.stem in items for path in paths):
            raise PermissionError(13, "Permission denied")
        return real(paths)

    monkeypatch.setattr(clips, "content_digest", digest)
    monkeypatch.setattr("counterpoise.data.prepare.content_digest", digest)


def test_an_item_that_could_never_be_read_is_no_change(tmp_path, monkeypatch):
    unreadable(monkeypatch, data_trees.CREMA_D[0])
    data_trees.crema_d(tmp_path / "own")
    roots, place = {"crema_d": tmp_path / "own"}, tmp_path / "crema_d.k"
    for _ in range(2):
        settings = {**SMALL, "max_dropped": 0.5}
        data = prepare_dataset("crema_d", settings, tmp_path / "raw", place, "k", data_roots=roots, workers=0)
    (dropped,) = data.manifest["dropped"]
    assert (dropped["id"], dropped["reason"]) == (data_trees.CREMA_D[0], "it cannot be read (Permission denied)")


def test_an_item_or_a_list_that_cannot_be_read_any_more_is_said(project, monkeypatch):
    unreadable(monkeypatch, data_trees.CREMA_D[0])
    with pytest.raises(UserError, match=rf"{data_trees.CREMA_D[0]} cannot be read \(Permission denied\)"):
        prepare(project)

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    data = make_dataset("crema_d", SMALL)
    prepared = PreparedData.open(project / "prepared/crema_d.k")
    monkeypatch.setattr("counterpoise.files.sha256_file", refuse)
    found = raw_changes(data, raw_files(data, project / "raw", {"crema_d": project / "own"}), prepared)
    assert "ogm_ge/train.csv cannot be read (Permission denied)" in found


def test_files_that_are_gone_leave_prepared_data_as_good_as_it_was(project):
    shutil.rmtree(project / "own/VideoFlash")
    assert prepare(project).size("train") == len(data_trees.CREMA_D) // 2
    shutil.rmtree(project / "own")
    (project / "own").mkdir()
    assert prepare(project).size("train") == len(data_trees.CREMA_D) // 2


def test_only_files_touched_since_are_read(project, monkeypatch):
    import counterpoise.data.prepare as module

    read = []
    monkeypatch.setattr(module, "content_digest", lambda files: read.append(files) or 0)
    data = make_dataset("crema_d", SMALL)
    prepared = PreparedData.open(project / "prepared/crema_d.k")
    later = time.time() + 60
    os.utime(prepared.path / "manifest.json", (later, later))
    assert raw_changes(data, raw_files(data, project / "raw", {"crema_d": project / "own"}), prepared) == []
    assert read == []


def test_own_lists_are_marked_in_the_manifest(made):
    departures = PreparedData.open(made / "prepared/crema_d.k").manifest["departures"]
    assert departures == ["ogm_ge/train.csv is not the published file", "ogm_ge/test.csv is not the published file"]


# ---- bytes of prepared data ----


def test_a_flipped_bit_in_prepared_data_is_noticed_where_it_is_opened(project):
    folder = project / "prepared/crema_d.k"
    path = folder / "train/audio.npy"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train/audio\.npy: its bytes are not those that were prepared") as caught:
        PreparedData.open(folder)
    assert "counterpoise data prepare crema_d" in str(caught.value)


def test_bytes_are_read_once_per_process(made, monkeypatch):
    from counterpoise import files

    folder = made / "prepared/crema_d.k"
    PreparedData.open(folder)
    monkeypatch.setattr(files, "sha256_file", lambda path: pytest.fail(f"{path} is read again"))
    assert isinstance(PreparedData.open(folder).array("train", "audio"), np.memmap)


@pytest.mark.parametrize("name", ["", "notes.txt", "train/mine.csv"])
def test_preparing_deletes_no_file_of_the_users(tmp_path, name):
    own, place = data_trees.mnist(tmp_path / "own"), tmp_path / "cg_mnist.k"
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_text("mine")
    with pytest.raises(UserError, match=rf"{place / name}: is no file of prepared data, .*; move it away"):
        prepare_dataset("cg_mnist", {}, tmp_path / "raw", place, "k", data_roots={"mnist": own}, workers=0)
    assert (place / name).read_text() == "mine"
