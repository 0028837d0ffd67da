"""Every dataset's folder as people have it: litter, links, capitals, files that are not what they should be."""

import gzip
import os
import re

import data_trees
import numpy as np
import odd_trees
import pytest

from counterpoise.data.mnist import PREFIXES, read_idx
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError

LOST = "video000005_000005_000015"
"""The clip that the tree of Kinetics-Sounds lacks."""


def prepare(root, name, own, settings):
    place = root / f"{name}.k"
    return prepare_dataset(name, settings, root / "raw", place, "k", data_roots={name: own}, workers=0)


def reasons(data):
    return {entry["id"]: entry["reason"] for entry in data.manifest["dropped"]}


def test_odd_meshes_are_left_out_by_name_and_faces_of_two_corners_are_no_trouble(tmp_path):
    own = data_trees.modelnet40(tmp_path / "own")
    shapes = sorted((own / "ModelNet40").rglob("train/*.off"))
    cube = shapes[0].read_text()
    shapes[0].write_text(cube.replace("8 12 0", "8 13 0") + "2 0 1\n")
    shapes[1].write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n2 0 1\n")
    shapes[3].write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n-1 0 1\n")
    shapes[4].write_text("OFF\n3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n")
    found = reasons(prepare(tmp_path, "modelnet40", own, {"source": "meshes", "size": 32, "max_dropped": 0.5}))
    assert set(found) == {f"train/{shapes[place].stem}" for place in (1, 3, 4)}
    assert found[f"train/{shapes[1].stem}"] == "it has no face with three corners"


CONVERTED = {
    "ave": {".mp4": ".webm"},
    "crema_d": {".flv": ".mp4", ".wav": ".flac"},
    "grid": {".mpg": ".MP4"},
    "kinetics_sounds": {".mp4": ".mov"},
    "ucf101": {".avi": ".mkv"},
}


@pytest.mark.parametrize("name", CONVERTED)
def test_converted_clips_are_read_and_are_not_the_published_set(tmp_path, name):
    own = getattr(data_trees, name)(tmp_path / "own")
    endings = CONVERTED[name]
    files = [path for path in own.rglob("*") if path.suffix in endings]
    for path in files:
        # What is in a file tells its format, not its name.
        path.rename(path.with_suffix(endings[path.suffix]))
    settings = {"frame_size": [24, 32], "max_dropped": 0.3}
    if name == "ucf101":
        settings["val_fraction"] = 0.0
    data = prepare(tmp_path, name, own, settings)
    assert all("missing" not in reason for key, reason in reasons(data).items() if key != LOST)
    said = [text for text in data.manifest["departures"] if "converted" in text]
    # Nobody publishes the clips of Kinetics: their endings say nothing.
    assert len(said) == (0 if name == "kinetics_sounds" else len(endings))
    for text in said:
        assert re.fullmatch(r"[1-9]\d* files are \.\w+, converted from the published \.\w+", text)


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("image", lambda array: array * 255, "its image goes from .* to 25"),
        ("depth", lambda array: array * 1000, "its depth goes from .* expected metres"),
        ("depth", lambda array: np.where(array > 0.5, np.nan, array), "NaN"),
        ("label", lambda array: array + 20, "its labels go from"),
        ("label", lambda array: array[:10], "its labels are"),
    ],
)
def test_scenes_out_of_range_are_left_out_by_name(tmp_path, kind, change, reason):
    own = data_trees.nyuv2(tmp_path / "own")
    odd_trees.litter(own)
    path = own / f"train/{kind}/1.npy"
    np.save(path, change(np.load(path)))
    settings = {"train_images": 3, "test_images": 2, "max_dropped": 0.5}
    data = prepare(tmp_path, "nyuv2", own, settings)
    (entry,) = data.manifest["dropped"]
    assert entry["id"] == "train/1"
    assert re.search(reason, entry["reason"])
    assert data.manifest["departures"] == ["3 and 2 images in place of 795 and 654"]


def edited(change):
    """Change what is packed in a gzip file."""

    def spoil(path):
        content = bytearray(gzip.decompress(path.read_bytes()))
        path.write_bytes(gzip.compress(bytes(change(content))))

    return spoil


def replaced(old, new, count=1):
    def spoil(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return spoil


def not_a_number(path):
    path.write_text(re.sub(r'"-?\d+\.\d+"', '"nan"', path.read_text(), count=1))


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def without_last_lines(path):
    path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n")


ANY_FILE = [
    ("is not there", lambda path: path.unlink()),
    ("is not there", odd_trees.dangling),
    ("is not a (regular )?file", odd_trees.folder),
    ("is not a (regular )?file", odd_trees.pipe),
    ("is a git-lfs pointer", lambda path: path.write_bytes(odd_trees.POINTER)),
    ("is a web page", lambda path: path.write_bytes(odd_trees.PAGE)),
]
IDX = [
    *ANY_FILE,
    ("is not an IDX file", lambda path: path.write_bytes(b"")),
    ("damaged or cut short", lambda path: path.write_bytes(odd_trees.TEXT)),
    ("damaged or cut short", lambda path: path.write_bytes(path.read_bytes()[:-20])),
    ("damaged or cut short", flipped),
    ("is not an IDX file", edited(lambda content: b"\0\0\x0d" + content[3:])),
    ("is not an IDX file", edited(lambda content: content[:4] + b"\xff\xff\xff\xff" + content[8:])),
    ("is not an IDX file", edited(lambda content: content[:-1])),
    ("label 10; allowed: 0 to 9", edited(lambda content: content[:-1] + b"\x0a")),
]
CSV = [
    *ANY_FILE,
    ("is empty", lambda path: path.write_bytes(b"")),
    ("line 1 has 1 fields", lambda path: path.write_bytes(odd_trees.TEXT)),
    ("line 1 has 102 fields", lambda path: path.write_text('"0.5",' + path.read_text().removeprefix('"'))),
    ("could not convert", replaced('"0.', '"zero.')),
    ("row 1 holds NaN", not_a_number),
    ("rows, .* transcripts", without_last_lines),
    ("unknown label 2", replaced(',"1"\n', ',"2"\n')),
    ("its labels are not those", replaced(',"1"\n', ',"0"\n')),
    ("is not text", lambda path: path.write_bytes(path.read_bytes() + b"\xff\n")),
]


@pytest.mark.parametrize("name", ["cg_mnist", "multi_mnist"])
@pytest.mark.parametrize(("reason", "spoil"), IDX)
def test_an_odd_file_of_digits_is_refused_by_name_and_nothing_is_written(tmp_path, name, reason, spoil):
    own = data_trees.mnist(tmp_path / "own")
    odd_trees.litter(own)
    file = own / "train-labels-idx1-ubyte.gz"
    spoil(file)
    with pytest.raises(UserError, match=rf"{file.name}: .*{reason}") as caught:
        prepare(tmp_path, name, own, {})
    assert "delete" not in str(caught.value)  # the file is the user's own
    assert not (tmp_path / f"{name}.k").exists()


@pytest.mark.parametrize("change", [{"images": (32, 32)}, {"labels": 1}], ids=["larger digits", "one class"])
def test_files_that_are_not_the_published_ones_are_named_where_nothing_can_be_made_of_them(tmp_path, change):
    own = data_trees.mnist(tmp_path / "own")
    if "images" in change:
        data_trees.write_idx(own / "train-images-idx3-ubyte.gz", np.zeros((60, *change["images"]), np.uint8))
    else:
        data_trees.write_idx(own / "train-labels-idx1-ubyte.gz", np.zeros(60, np.uint8))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz.*not as published.*multi_mnist cannot be made"):
        prepare(tmp_path, "multi_mnist", own, {})
    assert not (tmp_path / "multi_mnist.k").exists()


@pytest.mark.parametrize("size", [(32, 32), (28, 30), (0, 28)])
def test_digits_of_another_size_are_refused_by_name(tmp_path, size):
    own = data_trees.mnist(tmp_path / "own")
    data_trees.write_idx(own / "t10k-images-idx3-ubyte.gz", np.zeros((20, *size), np.uint8))
    with pytest.raises(UserError, match=rf"t10k-images-idx3-ubyte\.gz: its images are of {size[0]} x {size[1]} pixels"):
        prepare(tmp_path, "cg_mnist", own, {})


COLOURS = "mnist_10color_jitter_var_0.030.npy"


def content(**changed):
    """Put a file of the authors' in which some entries are ``changed``, or all of it is (``whole``)."""

    def write(path):
        found = {}
        for half, count in (("train", 60), ("test", 20)):
            gray = read_idx(path.parent / f"{PREFIXES[half]}-images-idx3-ubyte.gz", 3)
            found[f"{half}_image"] = np.repeat(gray[..., None], 3, axis=-1)
            found[f"{half}_label"] = np.arange(count) % 10
        holder = np.empty((), object)
        holder[()] = changed.get("whole", found | changed)
        np.save(path, holder, allow_pickle=True)

    return write


AUTHORS = [
    *ANY_FILE[4:],
    ("is not a regular file", lambda path: os.mkfifo(path)),
    ("is not a pickle of arrays", lambda path: path.write_bytes(b"")),
    ("is not a pickle of arrays", lambda path: np.save(path, np.zeros(3))),
    ("its header is damaged", lambda path: path.write_bytes(b"\x93NUMPY\1\0\x10\0{'descr': '|O', \n")),
    ("no arrays of one shape", content(train_image=[np.zeros(3), np.zeros(4)])),
    ("no arrays of one shape", content(test_label=[[1, 2], [3]])),
    ("no arrays of one shape", content(whole=np.zeros(3, [("train_image", "u1")]))),
    ("has no train_image and train_label", content(whole=[1, 2])),
    (r"train_image is float64 \(60, 28, 28, 3\)", content(train_image=np.zeros((60, 28, 28, 3)))),
    (r"test_image is uint8 \(5, 28, 28, 3\)", content(test_image=np.zeros((5, 28, 28, 3), np.uint8))),
    (r"train_image is object \(60,\)", content(train_image=np.full(60, None))),
    ("train_label is not in the order", content(train_label=np.arange(60))),
]


@pytest.mark.parametrize(("reason", "spoil"), AUTHORS)
def test_an_odd_file_of_coloured_digits_is_refused_by_name_and_nothing_is_written(tmp_path, reason, spoil):
    own = data_trees.mnist(tmp_path / "own")
    spoil(own / COLOURS)
    with pytest.raises(UserError, match=rf"{COLOURS}: .*{reason}"):
        prepare(tmp_path, "cg_mnist", own, {"source": "authors"})
    assert not (tmp_path / "cg_mnist.k").exists()


def test_the_file_of_coloured_digits_may_be_in_capitals(tmp_path):
    own = data_trees.mnist(tmp_path / "own")
    content()(own / COLOURS)
    (own / COLOURS).rename(own / COLOURS.upper())
    assert prepare(tmp_path, "cg_mnist", own, {"source": "authors"}).size("train") == 60


@pytest.mark.parametrize(("reason", "spoil"), CSV)
def test_an_odd_file_of_features_is_refused_by_name_and_nothing_is_written(tmp_path, reason, spoil):
    own = data_trees.cmu_mosi(tmp_path / "own")
    odd_trees.litter(own)
    file = own / "video_train0.csv"
    spoil(file)
    with pytest.raises(UserError, match=rf"{file.name}: .*{reason}"):
        prepare(tmp_path, "cmu_mosi", own, {})
    assert not (tmp_path / "cmu_mosi.k").exists()


def test_line_ends_marks_blank_lines_and_quotes_of_feature_files_do_not_matter(tmp_path):
    data_trees.cmu_mosi(tmp_path / "plain")
    odd = data_trees.cmu_mosi(tmp_path / "odd")
    for path in odd.glob("*.csv"):
        text = path.read_text().replace('"', "").replace("\n", "\r\n\r\n").replace(",", ", ")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    one, other = (prepare(tmp_path / name, "cmu_mosi", tmp_path / name, {}) for name in ("plain", "odd"))
    for name in ("text", "audio", "visual", "sentiment", "id"):
        np.testing.assert_array_equal(one.array("train", name), other.array("train", name))
