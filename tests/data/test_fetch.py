"""Fetching: from a mirror folder, with checks, never into the user's own folder; and making a mirror."""

import gzip
import shutil

import data_trees
import pytest

from counterpoise.data import mirrors
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.prepare import make_dataset, prepare_dataset, raw_files
from counterpoise.errors import UserError

NAMES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


def test_a_mirror_folder_gives_the_published_files(tmp_path, shared):
    raw = fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    assert raw == tmp_path / "raw" / "mnist"
    assert sorted(path.name for path in raw.iterdir()) == sorted(NAMES)


def test_a_mirror_file_with_other_bytes_is_refused(tmp_path, shared):
    shutil.copytree(shared / "mirror/mnist", tmp_path / "mirror/mnist")
    path = tmp_path / "mirror/mnist" / NAMES[3]
    path.chmod(0o644)
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: sha256 is"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=tmp_path / "mirror")
    assert not (tmp_path / "raw/mnist" / NAMES[3]).exists()


def test_a_missing_mirror_is_named(tmp_path):
    with pytest.raises(UserError, match="mirror: no folder"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=tmp_path / "nowhere")


def test_a_damaged_file_that_is_there_is_not_taken_for_good(tmp_path, shared):
    (tmp_path / "raw/mnist").mkdir(parents=True)
    (tmp_path / "raw/mnist" / NAMES[3]).write_bytes(b"<html>quota</html>")
    with pytest.raises(UserError, match="has 18 bytes, the published file has 4542"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")


def test_preparing_from_files_that_are_not_the_published_ones_is_refused(tmp_path):
    data_trees.mnist(tmp_path / "raw/mnist")
    with pytest.raises(UserError, match="the published file has"):
        prepare_dataset("cg_mnist", {}, tmp_path / "raw", tmp_path / "cg_mnist.k", "k")
    assert not (tmp_path / "cg_mnist.k").exists()


def test_preparing_without_files_says_how_to_get_them(tmp_path):
    with pytest.raises(UserError, match="counterpoise data fetch cg_mnist"):
        prepare_dataset("cg_mnist", {}, tmp_path / "raw", tmp_path / "cg_mnist.k", "k")


def test_the_users_own_folder_is_used_in_place_and_recorded(tmp_path):
    own = data_trees.mnist(tmp_path / "mine")
    for path in own.iterdir():
        path.chmod(0o444)
    own.chmod(0o555)
    try:
        roots = {"cg_mnist": own}
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", data_roots=roots)
        data = prepare_dataset("cg_mnist", {}, tmp_path / "raw", tmp_path / "cg_mnist.k", "k", data_roots=roots)
    finally:
        own.chmod(0o755)
    assert (data.size("train"), data.size("test")) == (60, 20)
    assert [entry["published"] for entry in data.manifest["sources"]] == [False] * 4
    assert not [path for path in (tmp_path / "raw").rglob("*.gz") if path.is_file()]


def test_a_missing_own_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="data_roots: cg_mnist: no folder"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", data_roots={"cg_mnist": tmp_path / "nowhere"})


def test_what_the_own_folder_lacks_is_fetched_beside_it(tmp_path, shared):
    own = tmp_path / "mine"
    own.mkdir()
    shutil.copyfile(shared / "mirror/mnist" / NAMES[0], own / NAMES[0])
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", data_roots={"mnist": own}, mirror=shared / "mirror")
    assert sorted(path.name for path in (tmp_path / "raw/mnist").iterdir()) == sorted(NAMES[1:])
    assert [path.name for path in own.iterdir()] == [NAMES[0]]


def test_a_packed_mirror_serves_and_verifies(tmp_path, shared):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    data = make_dataset("cg_mnist", {})
    count = mirrors.pack([(data, raw_files(data, tmp_path / "raw"))], tmp_path / "packed")
    assert count == 4
    report = mirrors.verify(tmp_path / "packed")
    assert (report.good, report.missing, report.changed, report.unlisted) == (4, (), (), ())
    fetch_dataset("cg_mnist", {}, tmp_path / "again", mirror=tmp_path / "packed")
    assert len(list((tmp_path / "again/mnist").iterdir())) == 4


def test_packing_again_adds_and_keeps(tmp_path, shared):
    for name in ("cg_mnist", "cmu_mosi"):
        fetch_dataset(name, {}, tmp_path / "raw", mirror=shared / "mirror")
        data = make_dataset(name, {})
        mirrors.pack([(data, raw_files(data, tmp_path / "raw"))], tmp_path / "packed")
    report = mirrors.verify(tmp_path / "packed")
    assert report.good == 4 + 8
    assert report.missing == report.changed == ()


def test_a_damaged_mirror_is_reported_file_by_file(tmp_path, shared):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    data = make_dataset("cg_mnist", {})
    mirrors.pack([(data, raw_files(data, tmp_path / "raw"))], tmp_path / "packed")
    (tmp_path / "packed/mnist" / NAMES[0]).write_bytes(b"x")
    (tmp_path / "packed/mnist" / NAMES[1]).unlink()
    (tmp_path / "packed/stray").write_bytes(b"x")
    report = mirrors.verify(tmp_path / "packed")
    assert report.changed == (f"mnist/{NAMES[0]}",)
    assert report.missing == (f"mnist/{NAMES[1]}",)
    assert report.unlisted == ("stray",)


def test_the_shared_mirror_is_whole(shared):
    report = mirrors.verify(shared / "mirror")
    assert report.missing == report.changed == report.unlisted == ()


def test_packing_what_is_not_there_says_how_to_get_it(tmp_path):
    data = make_dataset("cg_mnist", {})
    with pytest.raises(UserError, match="counterpoise data fetch cg_mnist"):
        mirrors.pack([(data, raw_files(data, tmp_path / "raw"))], tmp_path / "packed")


def test_a_mirror_address_is_the_first_that_is_tried(tmp_path, monkeypatch):
    import counterpoise.data.fetch as module

    asked = []

    def note(urls, path, **_):
        asked.append(urls[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    monkeypatch.setattr(module, "download", note)
    monkeypatch.setattr(module, "check_file", lambda *_, **__: None)
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror="https://mirror.example/data/")
    assert asked[0] == f"https://mirror.example/data/mnist/{NAMES[0]}"


def test_a_mirror_address_is_asked_for_optional_files_but_not_for_folders(tmp_path, monkeypatch):
    import counterpoise.data.fetch as module

    asked = {}
    monkeypatch.setattr(
        module, "download", lambda urls, path, **options: asked.update({path.name: (urls[0], options["optional"])})
    )
    data = make_dataset("grid", {})
    raw = raw_files(data, tmp_path / "raw")
    for source in data.sources()[:2]:
        module.fetch_source(data, source, raw, "https://mirror.example/data", False, lambda *_: None)
    assert asked == {"alignments.csv": ("https://mirror.example/data/grid/alignments.csv", True)}


def test_a_damaged_idx_file_is_named(tmp_path):
    own = data_trees.mnist(tmp_path / "mine")
    path = own / NAMES[0]
    for content in (path.read_bytes()[:200], gzip.compress(b"\0\0\x08\x03" + bytes(40)), b"<html>"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
            prepare_dataset("cg_mnist", {}, tmp_path, tmp_path / "cg_mnist.k", "k", data_roots={"mnist": own})
