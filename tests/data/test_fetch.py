"""Fetching: from a mirror folder, with checks, never into the user's own folder; and making a mirror."""

import contextlib
import errno
import gzip
import http.server
import io
import os
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path, PurePosixPath

import data_trees
import pytest

from counterpoise import files
from counterpoise.data import mirrors
from counterpoise.data.download import download
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.interface import Dataset
from counterpoise.data.prepare import make_dataset, prepare_dataset, raw_files
from counterpoise.data.progress import on_terminal
from counterpoise.data.sources import RawFiles, Source, files_below
from counterpoise.declare import DatasetInfo
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
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz: sha256 is .*; mend the mirror, or name another"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=tmp_path / "mirror")
    assert not (tmp_path / "raw/mnist" / NAMES[3]).exists()


def test_a_full_disk_is_not_said_of_the_mirror(tmp_path, monkeypatch):
    (tmp_path / "mirror/kinetics_sounds").mkdir(parents=True)

    def full(source, _):
        raise OSError(errno.ENOSPC, "No space left on device", str(source))

    monkeypatch.setattr(shutil, "copyfile", full)
    settings = {"train_list": "my_train_2.txt", "test_list": "my_train_2.txt"}
    (tmp_path / "mirror/kinetics_sounds/my_train_2.txt").write_text("a,10,0\n")
    with pytest.raises(UserError, match=r"raw/kinetics_sounds/my_train_2.txt: cannot be copied from .*: No space left"):
        fetch_dataset("kinetics_sounds", settings, tmp_path / "raw", mirror=tmp_path / "mirror")


def test_a_missing_mirror_is_named(tmp_path):
    with pytest.raises(UserError, match="mirror: no folder"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=tmp_path / "nowhere")


def test_the_home_folder_of_nobody_is_no_mirror(tmp_path):
    with pytest.raises(UserError, match="mirror: no folder ~nobody-of-this-name/mirror"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror="~nobody-of-this-name/mirror")


def test_a_damaged_file_that_is_there_is_not_taken_for_good(tmp_path, shared):
    (tmp_path / "raw/mnist").mkdir(parents=True)
    (tmp_path / "raw/mnist" / NAMES[3]).write_bytes(b"<html>quota</html>")
    with pytest.raises(UserError, match="a web page in place of the file"):
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


@contextlib.contextmanager
def served(folder):
    """Serve a folder as a web server does; yield its address and the list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(folder), **options)

        def log_message(self, text, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_mirror_address_is_the_first_that_is_tried(tmp_path, shared):
    with served(shared / "mirror") as (address, asked):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=address)
    assert [path for path in asked if "mnist" in path] == [f"/mnist/{name}" for name in NAMES]
    assert len(list((tmp_path / "raw/mnist").iterdir())) == 4


def test_a_mirror_without_a_list_of_its_files_serves_single_files(tmp_path, shared):
    shutil.copytree(shared / "mirror/mnist", tmp_path / "mirror/mnist")
    with served(tmp_path / "mirror") as (address, asked):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=address)
    assert f"/mnist/{NAMES[0]}" in asked
    assert len(list((tmp_path / "raw/mnist").iterdir())) == 4


def test_what_is_counted_in_files_is_not_shown_as_bytes(tmp_path, shared, capsys):
    with on_terminal("bytes") as progress:
        fetch_dataset("grid", {}, tmp_path / "raw", mirror=shared / "mirror", progress=progress)
        progress("s1.zip", 10, 10)
    shown = capsys.readouterr().err
    assert "files of grid/s1: 50 of 50\n" in shown
    assert "s1.zip: 10 of 10 bytes\n" in shown


def test_a_mirror_address_serves_folders_by_its_list(tmp_path, shared):
    with served(shared / "mirror") as (address, _):
        folder = fetch_dataset("grid", {"clips": "present"}, tmp_path / "raw", mirror=address)
    assert len(list((folder / "s1").glob("*.mpg"))) == 50
    assert (folder / "alignments.csv").is_file()


def test_a_list_that_names_files_outside_is_refused(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/SHA256SUMS").write_text(f"{'0' * 64}  ./grid/../../../evil\n")
    with served(tmp_path / "mirror") as (address, _), pytest.raises(UserError, match="names a file outside"):
        fetch_dataset("grid", {}, tmp_path / "raw", mirror=address)


@pytest.mark.parametrize("line", ["{} *./mnist/a\n", "\ufeff{}  mnist/a\r\n", "{}  *mnist/a\n"])
def test_a_list_of_digests_may_be_of_any_program(tmp_path, line):
    digest = "0a" * 32
    (tmp_path / "SHA256SUMS").write_text(line.format(digest.upper()))
    assert mirrors.read_sums(tmp_path) == {"mnist/a": digest}


def test_a_pointer_from_a_server_is_no_file(tmp_path):
    (tmp_path / "mirror/mnist").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "mirror/mnist" / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with (
        served(tmp_path / "mirror") as (address, _),
        pytest.raises(UserError, match="the server sent a git-lfs pointer"),
    ):
        download([f"{address}/mnist/{NAMES[0]}"], tmp_path / "a.gz")
    assert not (tmp_path / "a.gz").exists()


def test_media_that_no_address_has_are_left_to_preparation_which_names_them(tmp_path, monkeypatch):
    own = data_trees.crema_d(tmp_path / "own")
    media = tmp_path / "server"
    for part in ("VideoFlash", "AudioWAV"):
        shutil.move(own / part, media / part)
    gone, pointer = data_trees.CREMA_D[:2]
    (media / f"VideoFlash/{gone}.flv").unlink()
    (media / f"AudioWAV/{pointer}.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    settings, where = {"front_end": "ogm", "frame_size": [24, 32]}, {"data_roots": {"crema_d": own}}
    with served(media) as (address, _):
        monkeypatch.setattr("counterpoise.data.datasets.crema_d.MEDIA", (f"{address}/",))
        with pytest.raises(UserError, match=rf"{gone}\.flv: could not be fetched .*404"):
            fetch_dataset("crema_d", settings, tmp_path / "raw", **where)
        settings["max_dropped"] = 0.5
        fetch_dataset("crema_d", settings, tmp_path / "raw", **where)
    data = prepare_dataset("crema_d", settings, tmp_path / "raw", tmp_path / "crema_d.k", "k", workers=0, **where)
    assert {entry["id"] for entry in data.manifest["dropped"]} == {gone, pointer}


OWN_LAYOUTS = {
    "crema_d": {"front_end": "ogm"},
    "kinetics_sounds": {"max_dropped": 0.2},
    "ave": {},
    "ucf101": {},
    "modelnet40": {},
    "nyuv2": {"train_images": 3, "test_images": 2},
    "grid": {"clips": "present"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_LAYOUTS)
def test_a_mirror_is_packed_from_the_users_own_layout(tmp_path, name):
    settings = OWN_LAYOUTS[name]
    own = getattr(data_trees, name)(tmp_path / "own")
    data = make_dataset(name, settings)
    raw = raw_files(data, tmp_path / "raw", {name: own})
    count = mirrors.pack([(data, raw)], tmp_path / "packed")
    items = [item for split in data.listed_items(raw).values() for item in split]
    media = {path for item in items for path in item.files if path.is_file()}
    assert count >= len(media) > 0
    report = mirrors.verify(tmp_path / "packed")
    assert report.good == count
    assert report.missing == report.changed == report.unlisted == ()


def test_a_mirror_without_the_media_is_not_packed(tmp_path):
    own = data_trees.kinetics_sounds(tmp_path / "own")
    for path in [*own.rglob("*.mp4")][2:]:
        path.unlink()
    data = make_dataset("kinetics_sounds", {})
    with pytest.raises(UserError, match=r"items cannot be used.*Nothing of it was packed"):
        mirrors.pack([(data, raw_files(data, tmp_path / "raw", {"kinetics_sounds": own}))], tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_damaged_idx_file_is_named(tmp_path):
    own = data_trees.mnist(tmp_path / "mine")
    path = own / NAMES[0]
    for content in (path.read_bytes()[:200], gzip.compress(b"\0\0\x08\x03" + bytes(40)), b"<html>"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
            prepare_dataset("cg_mnist", {}, tmp_path, tmp_path / "cg_mnist.k", "k", data_roots={"mnist": own})


PACKED = {  # settings, and the archives of the parts of the tree
    "grid": ({"frame_size": [24, 32], "test_fraction": 0.5}, {"s1.zip": "s1", "alignments.zip": "alignments"}),
    "ave": ({"frame_size": [24, 32]}, {"AVE_Dataset.zip": "AVE_Dataset"}),
    "modelnet40": ({"size": 32}, {"shaded_images.tar.gz": "modelnet40_images_new_12x"}),
    "nyuv2": ({"train_images": 3, "test_images": 2}, {"nyuv2.zip": "."}),
}


def pack(path, folder, top):
    """Pack what is in a folder below ``top``, as a Mac and Dropbox do: with an entry ``/`` and files of their own."""
    files = {f"{top}{file.relative_to(folder).as_posix()}": file.read_bytes() for file in files_below(folder)}
    litter = {f"__MACOSX/{top}._{PurePosixPath(name).name}": b"\0\5\26\7" for name in files}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as bundle:
            for name, content in {"/": b"", **litter, **files}.items():
                bundle.writestr(name, content)
        return
    with tarfile.open(path, "w:gz") as bundle:
        for name, content in {**litter, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))


def test_an_empty_folder_is_filled_from_the_archive(tmp_path):
    (tmp_path / "lists").mkdir()
    for name in ("trainSet.txt", "valSet.txt", "testSet.txt"):
        (tmp_path / "lists" / name).write_text("Bark&aaaaaaaaaaa&good&0&10\n")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/aaaaaaaaaaa.mp4").write_bytes(b"clip")
    pack(tmp_path / "mirror/ave/AVE_Dataset.zip", tmp_path / "clips", "AVE/")
    (tmp_path / "raw/ave/AVE_Dataset").mkdir(parents=True)
    own = {"ave": tmp_path / "lists"}
    fetch_dataset("ave", {}, tmp_path / "raw", mirror=tmp_path / "mirror", data_roots=own)
    assert (tmp_path / "raw/ave/AVE_Dataset/AVE/aaaaaaaaaaa.mp4").read_bytes() == b"clip"
    fetch_dataset("ave", {}, tmp_path / "raw", mirror=tmp_path / "mirror", data_roots=own)


@pytest.mark.slow
@pytest.mark.parametrize("top", ["", "a folder of any name/"])
@pytest.mark.parametrize("name", PACKED)
def test_archives_with_a_top_folder_or_none_become_arrays(tmp_path, name, top):
    settings, archives = PACKED[name]
    tree = getattr(data_trees, name)(tmp_path / "tree")
    for archive, part in archives.items():
        pack(tmp_path / "mirror" / name / archive, tree / part, top)
    (tmp_path / "lists").mkdir()
    for path in tree.glob("*.txt"):
        shutil.copy(path, tmp_path / "lists")
    own = {"data_roots": {name: tmp_path / "lists"}}
    fetch_dataset(name, settings, tmp_path / "raw", mirror=tmp_path / "mirror", **own)
    data = prepare_dataset(name, settings, tmp_path / "raw", tmp_path / f"{name}.k", "k", workers=0, **own)
    assert data.manifest["dropped"] == []
    assert data.size("train") >= 3


def refuse_to_open(monkeypatch, *names):
    """Let files of these names be ones that cannot be read: tests may run as root."""
    real = files.open_regular

    def open_regular(path, *arguments):
        if path.name in names:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments)

    monkeypatch.setattr(files, "open_regular", open_regular)


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_packed(tmp_path, shared, monkeypatch):
    raw = fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    data = make_dataset("cg_mnist", {})
    refuse_to_open(monkeypatch, NAMES[1])
    with pytest.raises(UserError, match=f"3 files are packed, but not all: {raw / NAMES[1]}: Permission denied"):
        mirrors.pack([(data, raw_files(data, tmp_path / "raw"))], tmp_path / "packed")
    report = mirrors.verify(tmp_path / "packed")
    assert (report.good, report.missing, report.changed, report.unlisted) == (3, (), (), ())


def test_a_dataset_that_is_not_whole_does_not_keep_the_others_from_being_packed(tmp_path, shared):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    datasets = [make_dataset(name, {}) for name in ("cmu_mosi", "cg_mnist")]
    with pytest.raises(UserError, match=r"4 files are packed, but not all: .*text_train0.csv: is not there; run:"):
        mirrors.pack([(data, raw_files(data, tmp_path / "raw")) for data in datasets], tmp_path / "packed")
    assert mirrors.verify(tmp_path / "packed").good == 4


def test_a_torn_list_does_not_lead_back_to_the_command_that_refuses_it(tmp_path, shared):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    data = make_dataset("cg_mnist", {})
    datasets = [(data, raw_files(data, tmp_path / "raw"))]
    mirrors.pack(datasets, tmp_path / "packed")
    listed = tmp_path / "packed/SHA256SUMS"
    listed.write_text(listed.read_text()[:130])
    with pytest.raises(UserError, match=r"line 2 is not .*; is the list torn\? Without it, 'mirror pack' makes a"):
        mirrors.pack(datasets, tmp_path / "packed")
    listed.unlink()
    assert mirrors.pack(datasets, tmp_path / "packed") == mirrors.verify(tmp_path / "packed").good == 4


def test_packing_that_is_stopped_lists_what_is_packed_and_goes_on_and_mends_what_is_damaged(
    tmp_path, shared, monkeypatch
):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    data = make_dataset("cg_mnist", {})
    datasets = [(data, raw_files(data, tmp_path / "raw"))]

    def stop(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirrors.pack(datasets, tmp_path / "packed", stop)
    assert mirrors.verify(tmp_path / "packed").good == 2
    packed = sorted((tmp_path / "packed/mnist").iterdir())
    packed[0].write_bytes(b"damaged")
    copied = []
    real = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda source, place: copied.append(source.name) or real(source, place))
    assert mirrors.pack(datasets, tmp_path / "packed") == 4
    assert sorted(copied) == sorted(set(NAMES) - {packed[1].name})
    assert mirrors.verify(tmp_path / "packed").good == 4


ODD_NAMES = [
    "a b.mpg",
    "a#b.mpg",
    "50%.mpg",
    "a?b&c=d.mpg",
    "e\u0301.mpg",
    "a\\b.mpg",
    "a\nb.mpg",
    "a\u2028b.mpg",
    " a.mpg",
]


def odd_clips(place):
    (place / "s1").mkdir(parents=True)
    for name in ODD_NAMES:
        (place / "s1" / name).write_bytes(name.encode())
    (place / "alignments.csv").write_text("clip,start_25k,end_25k,word\n")


def test_files_of_odd_names_are_packed_listed_and_verified(tmp_path):
    """Names as people have them, through ``SHA256SUMS`` and back."""
    odd_clips(tmp_path / "raw/pictures")
    wanted = {f"s1/{name}" for name in ODD_NAMES}
    mirrors.pack([(Clips(), RawFiles((tmp_path / "raw/pictures",)))], tmp_path / "packed")
    assert set(mirrors.read_sums(tmp_path / "packed")) == {f"clips/{name}" for name in wanted}
    report = mirrors.verify(tmp_path / "packed")
    assert (report.good, report.missing, report.changed, report.unlisted) == (len(ODD_NAMES), (), (), ())


class Clips(Dataset):
    """A dataset of all the clips of a folder."""

    info = DatasetInfo("clips", "Clips", "multimodal", ("video",), ("kind",), licence="none", paper="")
    folder = "clips"

    def sources(self):
        return [Source(path="s1", holds=(".mpg",), manual="by hand")]


def test_a_name_that_is_no_utf8_is_left_out_of_a_mirror_by_name(tmp_path):
    odd_clips(tmp_path / "raw")
    (tmp_path / "raw/s1" / os.fsdecode(b"caf\xe9.mpg")).touch()
    with pytest.raises(UserError, match=rf"{len(ODD_NAMES)} files are packed, but not all: .*is not UTF-8; rename it"):
        mirrors.pack([(Clips(), RawFiles((tmp_path / "raw",)))], tmp_path / "packed")
    assert mirrors.verify(tmp_path / "packed").good == len(ODD_NAMES)


def test_a_mirror_that_cannot_all_be_read_is_verified_as_far_as_it_can(tmp_path, shared, monkeypatch):
    shutil.copytree(shared / "mirror/mnist", tmp_path / "mirror/mnist")
    (tmp_path / "mirror/SHA256SUMS").write_text(
        "".join(f"{files.sha256_file(tmp_path / 'mirror/mnist' / name)}  ./mnist/{name}\n" for name in NAMES)
        + f"{'0' * 64}  ./mnist/{'n' * 300}\n{'0' * 64}  ./mnist\n"
    )
    refuse_to_open(monkeypatch, NAMES[2])
    report = mirrors.verify(tmp_path / "mirror")
    assert report.good == 3
    assert report.unreadable == (f"mnist/{'n' * 300}: File name too long", f"mnist/{NAMES[2]}: Permission denied")
    assert report.missing == ("mnist",)


@pytest.mark.parametrize("by_address", [True, False])
def test_odd_files_of_a_mirror_do_not_keep_the_others_from_coming_and_are_named(
    tmp_path, shared, monkeypatch, by_address
):
    shutil.copytree(shared / "mirror/grid", tmp_path / "mirror/grid")
    clips = sorted((tmp_path / "mirror/grid/s1").glob("*.mpg"))
    sums = {path: files.sha256_file(path) for path in (tmp_path / "mirror/grid").rglob("*") if path.is_file()}
    lines = [f"{digest}  ./{path.relative_to(tmp_path / 'mirror').as_posix()}\n" for path, digest in sums.items()]
    (tmp_path / "mirror/SHA256SUMS").write_text("".join(lines))
    real = shutil.copyfile

    def copyfile(source, place):
        if source in clips[:2]:
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        return real(source, place)

    with served(tmp_path / "mirror") as (address, _):
        if by_address:
            clips[0].unlink()
            clips[1].write_bytes(b"other")
        else:
            monkeypatch.setattr(shutil, "copyfile", copyfile)
        with pytest.raises(UserError, match="2 files cannot be had, the others are kept: ") as caught:
            fetch_dataset("grid", {}, tmp_path / "raw", mirror=address if by_address else tmp_path / "mirror")
    assert all(clip.name in str(caught.value) for clip in clips[:2])
    # A folder that is not whole does not take the place of the whole one; what came is kept for the next time.
    assert not (tmp_path / "raw/grid/s1").exists()
    assert len(list((tmp_path / "raw/grid/.s1.partial").glob("*.mpg"))) == 48
    monkeypatch.undo()
    fetch_dataset("grid", {}, tmp_path / "raw", mirror=shared / "mirror")
    assert len(list((tmp_path / "raw/grid/s1").glob("*.mpg"))) == 50


def test_a_mirror_of_which_nothing_can_be_had_is_given_up(tmp_path):
    (tmp_path / "mirror").mkdir()
    listed = "".join(f"{'0' * 64}  ./grid/s1/{number}.mpg\n" for number in range(60))
    (tmp_path / "mirror/SHA256SUMS").write_text(f"{'0' * 64}  ./grid/alignments/x.align\n" + listed)
    with (
        served(tmp_path / "mirror") as (address, asked),
        pytest.raises(UserError, match=r"20 files cannot be had, and the rest was not tried: .*; and 19 more"),
    ):
        fetch_dataset("grid", {}, tmp_path / "raw", mirror=address)
    assert len({path for path in asked if path.endswith(".mpg")}) == 20


def test_odd_names_are_asked_of_a_server_as_they_are(tmp_path):
    names = [name for name in ODD_NAMES if "\\" not in name and "\n" not in name]
    (tmp_path / "mirror/grid").mkdir(parents=True)
    odd_clips(tmp_path / "mirror/grid")
    with served(tmp_path / "mirror") as (address, _):
        for name in names:
            download([mirrors.mirror_url(address, "grid", f"s1/{name}")], tmp_path / "a.mpg")
            assert (tmp_path / "a.mpg").read_bytes() == name.encode()
            (tmp_path / "a.mpg").unlink()


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("/nowhere/disk")])
@pytest.mark.parametrize("name", ["raw", "raw/mnist"])
def test_what_stands_in_the_place_of_a_folder_of_raw_files_is_named(tmp_path, shared, name, make):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    with pytest.raises(UserError, match=rf"{tmp_path / name} is, or is below, a file or a link that leads nowhere"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    with pytest.raises(UserError, match=r"raw/mnist is, or is below, a file or a link that leads nowhere"):
        download(["http://127.0.0.1:9/x"], tmp_path / "raw/mnist/x")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_under_a_files_name_is_not_that_file(tmp_path, shared, make):
    raw = fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    (raw / NAMES[0]).unlink()
    make(raw / NAMES[0])
    data = make_dataset("cg_mnist", {})
    found = RawFiles((raw,))
    with pytest.raises(UserError, match=rf"{NAMES[0]}: is not a regular file; delete it and fetch it again"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    with pytest.raises(UserError, match=rf"{NAMES[0]}: is not a regular file"):
        prepare_dataset("cg_mnist", {}, tmp_path / "raw", tmp_path / "cg_mnist.k", "k")
    with pytest.raises(UserError, match=rf"{NAMES[0]}: is not a regular file"):
        mirrors.pack([(data, found)], tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_mirror_that_has_nothing_of_a_dataset_is_said(tmp_path, shared, capsys):
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror")
    assert capsys.readouterr().err == ""
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=shared / "mirror/mnist")
    said = f"mirror {shared / 'mirror/mnist'}: has nothing in a folder 'mnist'; the publishers are asked"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:x", "is no address that can be asked"),
        ("http://localhost/my mirror", "is no address that can be asked"),
        ("sftp://127.0.0.1", "unknown url type"),
    ],
)
def test_a_mirror_that_cannot_be_asked_is_named_and_no_file_of_ours(tmp_path, address, why):
    with pytest.raises(UserError, match=rf"^mirror {address}: cannot be asked for what it has: .*{why}"):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=address)


def test_a_mirror_of_an_address_of_files_needs_no_list(tmp_path, shared):
    shutil.copytree(shared / "mirror/mnist", tmp_path / "mirror/mnist")
    fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=(tmp_path / "mirror").as_uri())
    assert len(list((tmp_path / "raw/mnist").iterdir())) == 4


def test_a_torn_list_of_a_mirror_is_named_with_its_address(tmp_path, shared):
    (tmp_path / "SHA256SUMS").write_text("0a0a")
    with (
        served(tmp_path) as (address, _),
        pytest.raises(UserError, match=rf"{address}/SHA256SUMS: line 1 is not .*; is the list torn"),
    ):
        fetch_dataset("cg_mnist", {}, tmp_path / "raw", mirror=address)
