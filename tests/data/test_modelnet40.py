"""ModelNet40: the real lists, views in the published layout, and meshes rendered here."""

import re

import data_trees
import numpy as np
import pytest
from PIL import Image

from counterpoise.data.clips import Item
from counterpoise.data.datasets.modelnet40 import ModelNet40, ViewReader
from counterpoise.data.media import MediaError
from counterpoise.data.meshes import read_off, render
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.sources import RawFiles
from counterpoise.errors import UserError

CUBE = data_trees.CUBE


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return data_trees.modelnet40(tmp_path_factory.mktemp("modelnet40"))


def prepare(folder, tree, **settings):
    return prepare_dataset(
        "modelnet40", settings, folder / "raw", folder / "modelnet40.k", "k", data_roots={"modelnet40": tree}, workers=0
    )


def test_the_real_lists_have_the_official_counts(shared):
    raw = RawFiles((shared / "mirror/modelnet40",))
    data = ModelNet40()
    assert (len(data._items(raw, "train")), len(data._items(raw, "test"))) == (9843, 2468)
    names = data._classes(raw)
    assert names == sorted(names)
    assert len(names) == 40


def test_views_zero_and_six_are_front_and_back(tmp_path, tree):
    data = prepare(tmp_path, tree)
    assert (data.size("train"), data.size("test")) == (6, 6)
    assert data.targets["shape"]["names"] == ["bed", "sofa"]
    front, back = data.array("train", "front"), data.array("train", "back")
    assert front.shape == (6, 3, 224, 224)
    assert front[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert back[:, 0, 0, 0].tolist() == [120, 121, 122, 120, 121, 122]
    assert front[:, 1, 0, 0].tolist() == data.array("train", "shape").tolist()


def test_another_size_and_other_views_can_be_chosen(tmp_path, tree):
    data = prepare(tmp_path, tree, front=2, back=8, size=64)
    assert data.array("test", "front").shape == (6, 3, 64, 64)
    assert data.array("test", "front")[0, 0, 0, 0] == 45


def test_a_missing_or_broken_view_is_named(tmp_path, tree):
    import shutil

    own = tmp_path / "own"
    shutil.copytree(tree, own)
    folder = own / "modelnet40_images_new_12x/bed/train"
    (folder / "bed_0000.obj.shaded_v007.png").write_bytes(b"<html>")
    (folder / "bed_0001.obj.shaded_v001.png").unlink()
    data = prepare(tmp_path, own, max_dropped=0.5)
    reasons = {entry["id"]: entry["reason"] for entry in data.manifest["dropped"]}
    assert reasons == {
        "train/bed_0000": "the view bed_0000.obj.shaded_v007.png is a web page in place of the file "
        "(a log-in, a quota or an error)",
        "train/bed_0001": "the file is missing",
    }


def test_a_view_that_is_postscript_is_named_and_handed_to_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("PostScript was run"))
    path = tmp_path / "bed.png"
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    with pytest.raises(MediaError, match=r"the view bed\.png is not an image"):
        ViewReader("renders", (0, 6), 8)(Item("bed", {}, (path, path)))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_view_of_more_than_eight_bits_is_named(tmp_path, kind):
    path = tmp_path / "bed.png"
    Image.fromarray(np.full((8, 8), 300, kind)).save(path, format="TIFF")
    with pytest.raises(MediaError, match=r"the view bed\.png has pixels of more than 8 bits"):
        ViewReader("renders", (0, 6), 8)(Item("bed", {}, (path, path)))


def test_converted_views_are_read_and_are_not_the_published_set(tmp_path):
    own = data_trees.modelnet40(tmp_path / "own")
    for path in list(own.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".JPG"), format="JPEG")
        path.unlink()
    data = prepare(tmp_path, own)
    assert (data.size("train"), data.manifest["dropped"]) == (6, [])
    assert "24 files are .jpg, converted from the published .png" in data.manifest["departures"]


@pytest.mark.parametrize(
    ("label", "said"), [(0, "class 0 is sofa, in train.txt bed"), (7, "is sofa, in train.txt none")]
)
def test_a_test_list_that_numbers_classes_otherwise_is_named(tmp_path, label, said):
    own = data_trees.modelnet40(tmp_path / "own")
    path = own / "test.txt"
    path.write_text(path.read_text().replace("\t1", f"\t{label}"))
    with pytest.raises(UserError, match=rf"test\.txt: .*{said}"):
        prepare(tmp_path, own)


def test_a_mesh_that_would_take_hours_to_draw_is_named(tmp_path):
    plate = np.array([[0.0, -1, -1], [0, 1, -1], [0, 0, 1]])
    with pytest.raises(MediaError, match=r"its faces cover [\d,]+ pixels, too many"):
        render(plate, np.tile([0, 1, 2], (100_000, 1)), 0.0, 224)


def test_meshes_can_be_rendered_instead(tmp_path, tree):
    data = prepare(tmp_path, tree, source="meshes", size=48, back=1)
    images = data.array("train", "front")
    assert images.shape == (6, 3, 48, 48)
    # White around, a shape in the middle, and another picture from another side.
    assert (images[:, :, 0, 0] == 255).all()
    assert (images[:, :, 24, 24] < 255).all()
    assert (images != data.array("train", "back")).any()
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize("head", ["OFF\n", "OFF", "OFF ", "# a remark\nOFF\n# another\n"])
def test_headers_of_meshes_may_be_on_one_line(tmp_path, head):
    (tmp_path / "a.off").write_text(head + CUBE)
    vertices, faces = read_off(tmp_path / "a.off")
    assert (vertices.shape, faces.shape) == ((8, 3), (12, 3))


def test_polygons_are_cut_into_triangles(tmp_path):
    (tmp_path / "a.off").write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    assert read_off(tmp_path / "a.off")[1].tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "OFF\n8 12 0\n0 0",
        "OFF\n1 1 0\n0 0 0\n3 0 1 2\n",
        "OFF\n999999999 1 0\n",
        "OFF\nx y z\n",
        "OFF\ninf 1 0\n",
    ],
)
def test_damaged_meshes_are_said_to_be(tmp_path, text):
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(MediaError):
        read_off(tmp_path / "a.off")


@pytest.mark.parametrize("colour", [" 255 0 0", " 3 0 1", " 0.5 0.5 1.0 1", " 7", "  # red"])
def test_colours_of_faces_and_vertices_are_not_taken_for_shape(tmp_path, colour):
    counts, *rest = CUBE.splitlines()
    (tmp_path / "a.off").write_text("OFF\n" + CUBE)
    expected = read_off(tmp_path / "a.off")
    for head, start in (("OFF", "3 "), ("COFF", ("1 ", "-1 ")), ("CNoff", ("1 ", "-1 ", "3 "))):
        lines = [f"{line}{colour}" if line.startswith(start) else line for line in rest]
        (tmp_path / "a.off").write_text("\n".join([head, counts, *lines]))
        for one, other in zip(read_off(tmp_path / "a.off"), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", " \t\n\n"),
        lambda text: text.replace("8 12 0", "8 12"),
        lambda text: text.replace("8 12 0", "8.0 12.0 18"),
        lambda text: text.replace("8 12 0\n", "8 12 0 "),
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("OFF\n", "OFF"),
        lambda text: text.replace("OFF\n", "off # ModelNet\n# two\n"),
        lambda text: re.sub(r"\b1\b", "1.0e+00", text),
        lambda text: text + "\n\n",
    ],
)
def test_habits_of_mesh_files_make_no_other_shape(tmp_path, change):
    text = "OFF\n" + CUBE
    (tmp_path / "a.off").write_text(text)
    expected = read_off(tmp_path / "a.off")
    (tmp_path / "a.off").write_bytes(change(text).encode())
    for one, other in zip(read_off(tmp_path / "a.off"), expected, strict=True):
        np.testing.assert_array_equal(one, other)


TRIANGLE = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TRIANGLE + "3 0 1 2\n", "4 numbers follow its 1 faces"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1 2.5"), "a face is not of whole numbers"),
        (TRIANGLE.replace("3 0 1 2", "3 0 1"), "damaged or cut short"),
        (TRIANGLE.replace("1 0 0", "1 0"), "damaged or cut short"),
        (TRIANGLE.replace("1 0 0", "1,0 0 0"), "damaged or cut short"),
        (TRIANGLE.replace("1 0 0", "1e300 0 0"), "infinitely far"),
        (TRIANGLE.replace("1 0 0", "inf 0 0"), "infinitely far"),
        (TRIANGLE.replace("1", "0").replace("3 0 0", "3 1 0"), "none of its faces has an area"),
        (TRIANGLE.replace("3 0 1 2", "3 1 1 1"), "none of its faces has an area"),
        (TRIANGLE.replace("OFF", "OFF BINARY"), "damaged or cut short"),
        (TRIANGLE.replace("OFF", "4OFF"), "not an OFF file"),
        ("ply\nformat ascii 1.0\n", "not an OFF file"),
        ("# nothing\n", "not an OFF file"),
        ("OFF\n", "damaged or cut short"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:92\n", "a git-lfs pointer"),
    ],
)
def test_odd_meshes_are_named_for_what_they_are(tmp_path, text, reason):
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(MediaError, match=reason):
        read_off(tmp_path / "a.off")


def test_a_giant_mesh_is_named_before_memory_is_asked_for(tmp_path):
    with (tmp_path / "a.off").open("wb") as file:
        file.truncate(1 << 42)  # a hole: it takes no room on the disk
    with pytest.raises(MediaError, match="it has 4398046511104 bytes"):
        read_off(tmp_path / "a.off")


def test_the_nearer_face_hides_the_farther_one():
    # Two plates across the line of sight from azimuth 0: a tilted near one and an upright far one.
    near = [[1, -0.2, -0.2], [1, 0.2, -0.2], [1, 0.2, 0.2], [1, -0.2, 0.2]]
    far = [[-1, -1, -1], [-1, 1, -1], [-1, 1, 1], [-1, -1, 1]]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    both = render(np.array(near + far, float), np.concatenate([faces, faces + 4]), 0.0, 64)
    swapped = render(np.array(far + near, float), np.concatenate([faces, faces + 4]), 0.0, 64)
    np.testing.assert_array_equal(both, swapped)


def test_a_triangle_covers_the_pixels_inside_it():
    # A square seen from straight in front (azimuth 0, tilted by the camera's elevation) fills its projection.
    size = 200
    corners = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]], float)
    picture = render(corners, np.array([[0, 1, 2], [0, 2, 3]]), 0.0, size)
    share = (picture[0] < 255).mean()
    side = 2 / np.sqrt(2) * 0.45
    assert abs(share - side * side * np.cos(np.deg2rad(30))) < 0.01


def test_a_bad_line_is_named(tmp_path, tree):
    own = tmp_path / "own"
    own.mkdir()
    (own / "modelnet40_images_new_12x").symlink_to(tree / "modelnet40_images_new_12x")
    (own / "train.txt").write_text("hello\t0\n")
    (own / "test.txt").write_text((tree / "test.txt").read_text())
    with pytest.raises(UserError, match=r"train\.txt: line 1: 'hello'"):
        prepare(tmp_path, own)
