"""Every dataset's folder as people have it: litter, links, capitals, files that are not what they should be."""

import re
import shutil

import data_trees
import numpy as np
import pytest

from counterpoise.data.prepare import prepare_dataset

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:9269ed5e\nsize 414429\n"
PAGE = b"<!DOCTYPE html><title>Quota exceeded</title>"
SMALL = {"front_end": "ogm", "frame_size": [24, 32], "max_dropped": 0.9}


def truncated(path):
    path.write_bytes(path.read_bytes()[:200])


SPOIL = {  # what is done to a file, and a part of the reason that is then given
    "the file is missing": lambda path: path.unlink(),
    "the file is empty": lambda path: path.write_bytes(b""),
    "a git-lfs pointer": lambda path: path.write_bytes(POINTER),
    "a web page": lambda path: path.write_bytes(PAGE),
    "not a media file": lambda path: path.write_bytes(b"this is text\n" * 40),
}


def litter(folder):
    """Leave beside each folder's files what a Mac, Windows and Git leave."""
    for place in {path.parent for path in folder.rglob("*") if path.is_file()}:
        some = next(path for path in sorted(place.iterdir()) if path.is_file())
        (place / f"._{some.name}").write_bytes(b"\0\5\26\7")
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX" / f"._{some.name}").write_bytes(b"\0\5\26\7")
        (place / ".DS_Store").write_bytes(b"\0")
        (place / "Thumbs.db").write_bytes(b"\0")


def prepare(root, name, own, settings):
    place = root / f"{name}.k"
    return prepare_dataset(name, settings, root / "raw", place, "k", data_roots={name: own}, workers=0)


def reasons(data):
    return {entry["id"]: entry["reason"] for entry in data.manifest["dropped"]}


CLIPS = {  # settings, and the media that are spoilt, by the id of their item
    "crema_d": (SMALL, lambda own: {path.stem: path for path in sorted(own.glob("VideoFlash/*"))}),
    "kinetics_sounds": (SMALL, lambda own: {path.stem: path for path in (own / "train").glob("*_00000[014]_*")}),
    "ave": (SMALL | {"front_end": "pmr_raw"}, lambda own: {"aaaaaaaaaaa": own / "AVE_Dataset/AVE/aaaaaaaaaaa.mp4"}),
    "ucf101": (
        SMALL | {"val_fraction": 0.0},
        lambda own: {f"Typing/{path.stem}": path for path in sorted(own.rglob("v_Typing*"))[4:]},
    ),
    "grid": (SMALL | {"test_fraction": 0.5}, lambda own: {path.stem: path for path in sorted(own.rglob("*.mpg"))}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_odd_clips_are_left_out_by_name_and_the_rest_goes_on(tmp_path, name):
    settings, media = CLIPS[name]
    own = getattr(data_trees, name)(tmp_path / "tree")
    if name == "ave":  # a second clip of the class of which one is spoilt
        (own / "trainSet.txt").write_text((own / "trainSet.txt").read_text() + "Bark&hhhhhhhhhhh&good&0&6\n")
    spoilt = dict(zip(SPOIL, media(own).items(), strict=False))
    for reason, (_, path) in spoilt.items():
        SPOIL[reason](path)
    litter(own)
    # A link to the folder, and in it a link back up.
    (tmp_path / "own").mkdir()
    for path in own.iterdir():
        (tmp_path / "own" / path.name).symlink_to(path)
    (own / "up").symlink_to(own)
    found = reasons(prepare(tmp_path, name, tmp_path / "own", settings))
    for reason, (item, _) in spoilt.items():
        assert reason in found[item]


def test_odd_views_are_left_out_by_name(tmp_path):
    own = data_trees.modelnet40(tmp_path / "own")
    home = own / "modelnet40_images_new_12x/bed/train"
    (home / "bed_0000.obj.shaded_v001.png").write_bytes(POINTER)
    (home / "bed_0001.obj.shaded_v007.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    litter(own)
    # Flat, without the class folders, and in capitals.
    flat = tmp_path / "flat"
    for half in ("train", "test"):
        (flat / half).mkdir(parents=True)
        shutil.copy(own / f"{half}.txt", flat)
        for path in (own / "modelnet40_images_new_12x").rglob(f"{half}/*.png"):
            shutil.copy(path, flat / half / path.name.upper())
    found = reasons(prepare(tmp_path, "modelnet40", flat, {"size": 32, "max_dropped": 0.5}))
    assert "a git-lfs pointer" in found["train/bed_0000"]
    assert "not an image" in found["train/bed_0001"]
    assert len(found) == 2


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
    litter(own)
    path = own / f"train/{kind}/1.npy"
    np.save(path, change(np.load(path)))
    settings = {"train_images": 3, "test_images": 2, "max_dropped": 0.5}
    data = prepare(tmp_path, "nyuv2", own, settings)
    (entry,) = data.manifest["dropped"]
    assert entry["id"] == "train/1"
    assert re.search(reason, entry["reason"])
    assert data.manifest["departures"] == ["3 and 2 images in place of 795 and 654"]
