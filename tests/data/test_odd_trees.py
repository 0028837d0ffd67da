"""Every dataset's folder as people have it: litter, links, capitals, files that are not what they should be."""

import gzip
import re

import data_trees
import numpy as np
import odd_trees
import pytest

from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError


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
