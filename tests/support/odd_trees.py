"""The trees of ``data_trees`` as people have them: litter, links, capitals, and items that are not what they should be.

Each function adds to a dataset's tree one item for each kind of oddity, which the dataset's own list names, and returns
the folder and what is to be said of these items: by id, a part of the reason. All other items can be used.
"""

from __future__ import annotations

import os
import shutil
import struct
import wave
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import data_trees
import numpy as np
from media_files import write_clip, write_wav
from PIL import Image

from counterpoise.data.store import npy_header

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:9269ed5e\nsize 414429\n"
PAGE = b"<!DOCTYPE html><title>Quota exceeded</title>"
TEXT = b"this is text\n" * 40

Spoil = Callable[[Path], object]
"""Puts something odd in the place of the file at a path."""
Kind = tuple[str, Spoil]
OddTree = tuple[Path, dict[str, str]]


def pipe(path: Path) -> None:
    """Put a pipe in the place of a file: who opens it waits."""
    path.unlink()
    os.mkfifo(path)


def dangling(path: Path) -> None:
    """Put a link to nothing in the place of a file."""
    path.unlink()
    path.symlink_to(path.parent / "gone")


def folder(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()


def _absurd_rate(path: Path) -> None:
    write_wav(path.with_suffix(".wav"), seconds=0.5)
    content = path.with_suffix(".wav").read_bytes()
    path.with_suffix(".wav").unlink()
    path.write_bytes(content.replace(struct.pack("<I", 16000), struct.pack("<I", 2147483647), 1))


def _no_samples(path: Path) -> None:
    with path.open("wb") as file, wave.open(file) as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))


def _instead(path: Path, name: str, **options) -> None:
    """Put a media file of another kind in the place of ``path``, under its name."""
    other = write_clip(path.with_name(name), seconds=2.0, **options)
    other.replace(path)


def _png(width: int, height: int) -> bytes:
    """Return the start of a PNG whose header claims so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT" + bytes(1000)


def _flip(path: Path) -> None:
    """Flip a byte of a picture's compressed data."""
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 12] ^= 0xFF
    path.write_bytes(bytes(content))


def _changed(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda path: np.save(path, change(np.load(path)), allow_pickle=True)


# What is odd about any kind of file: a part of the reason that is given, and what is done to the file.
ANY: list[Kind] = [
    ("missing", lambda path: path.unlink()),
    ("missing", dangling),
    ("is not a regular file", pipe),
    ("a git-lfs pointer", lambda path: path.write_bytes(POINTER)),
    ("a web page", lambda path: path.write_bytes(PAGE)),
]
if os.geteuid() != 0:  # root may read everything
    ANY.append(("cannot be read", lambda path: path.chmod(0)))

# Of the file with the pictures and of the one with the sound, which most datasets have in one.
PICTURES: list[Kind] = [
    *ANY,
    ("missing", folder),
    ("the file is empty", lambda path: path.write_bytes(b"")),
    ("not a media file", lambda path: path.write_bytes(TEXT)),
    ("not a media file", lambda path: path.write_bytes(path.read_bytes()[:24])),
    ("a playlist", lambda path: path.write_text("ffconcat version 1.0\nfile other.mp4\n")),
    ("it has no video stream", lambda path: _instead(path, "sound.wav", video=None, audio="pcm_s16le")),
]
SOUND: list[Kind] = [
    ("it has no audio stream", lambda path: _instead(path, "silent.avi", audio=None)),
    ("its sampling rate is 2147483647 Hz", _absurd_rate),
    (
        "NaN or infinite samples",
        lambda path: _instead(path, "nan.wav", video=None, audio="pcm_f32le", frequency=np.nan),
    ),
    ("no audio can be decoded", _no_samples),
]
IMAGES: list[Kind] = [
    *ANY,
    ("missing", folder),
    ("not an image", lambda path: path.write_bytes(b"")),
    ("not an image", lambda path: path.write_bytes(TEXT)),
    ("not an image", lambda path: path.write_bytes(path.read_bytes()[:60])),
    ("not an image", _flip),
    ("exceeds limit", lambda path: path.write_bytes(_png(100_000, 100_000))),
    ("has 8200 x 8200 pixels", lambda path: path.write_bytes(_png(8200, 8200))),
]
ARRAYS: list[Kind] = [
    *ANY,
    ("is not a regular file", folder),
    ("is not an array", lambda path: path.write_bytes(b"")),
    ("is not an array", lambda path: path.write_bytes(TEXT)),
    ("is not an array", lambda path: path.write_bytes(path.read_bytes()[:1000])),
    ("is not an array", lambda path: path.write_bytes(npy_header((1_000_000, 672_000), np.dtype("<f8")))),
    ("is not an array", _changed(lambda array: np.array([array], dtype=object))),
    ("holds NaN", _changed(lambda array: np.where(array > 0, np.nan, array))),
    ("goes from", _changed(lambda array: array * 1000)),
    ("expected (288, 384", _changed(lambda array: array[:10])),
]


def litter(folder: Path) -> None:
    """Leave beside each folder's files what a Mac, Windows and Git leave."""
    for place in {path.parent for path in folder.rglob("*") if path.is_file()}:
        some = next(path for path in sorted(place.iterdir()) if path.is_file())
        (place / f"._{some.name}").write_bytes(b"\0\5\26\7")
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX" / f"._{some.name}").write_bytes(b"\0\5\26\7")
        (place / ".DS_Store").write_bytes(b"\0")
        (place / "Thumbs.db").write_bytes(b"\0")


def _through_links(tree: Path, own: Path) -> Path:
    """Return a folder of links to the tree's parts, in which one leads back up."""
    litter(tree)
    own.mkdir(parents=True)
    for path in tree.iterdir():
        (own / path.name).symlink_to(path)
    (tree / "up").symlink_to(tree)
    return own


def _spoilt(kinds: list[Kind], names: Iterator[str], make: Callable[[str], Path]) -> dict[str, str]:
    """Make one item per kind and spoil it; return the reasons by id. ``make`` returns the file to spoil."""
    reasons = {}
    for (reason, spoil), name in zip(kinds, names, strict=False):
        spoil(make(name))
        reasons[name] = reason
    return reasons


def _append(path: Path, lines: list[str]) -> None:
    path.write_text(path.read_text(encoding="utf-8-sig").rstrip("\n") + "\n" + "\n".join(lines) + "\n")


def _other_sound(path: Path, **options) -> None:
    """Give a clip stereo sound at another rate, which is no trouble."""
    write_clip(path, seconds=6.0, layout="stereo", **options)


def crema_d(root: Path) -> OddTree:
    tree = data_trees.crema_d(root / "tree")
    good = data_trees.CREMA_D[0]
    names = (f"1001_{sentence}_ANG_XX" for sentence in "abcdefghijklmnopqrstuvwxyz")

    def make(name: str, ending: str) -> Path:
        for part in ("VideoFlash/{}.flv", "AudioWAV/{}.wav"):
            shutil.copy(tree / part.format(good), tree / part.format(name))
        return next(tree.rglob(f"{name}{ending}"))

    reasons = _spoilt(PICTURES, names, lambda name: make(name, ".flv"))
    reasons |= _spoilt(SOUND, names, lambda name: make(name, ".wav"))
    _append(tree / "ogm_ge/train.csv", [f"{name},ANG" for name in reasons])
    make("1001_NOT_LST_XX", ".flv")
    write_wav(tree / f"AudioWAV/{good}.wav", seconds=2.0, rate=8000, layout="stereo")
    return _through_links(tree, root / "own"), reasons


def kinetics_sounds(root: Path) -> OddTree:
    tree = data_trees.kinetics_sounds(root / "tree")
    names = (f"odd{place:08d}_000000_000010" for place in range(30))

    def make(name: str) -> Path:
        return Path(shutil.copy(tree / "train/video000000_000000_000010.mp4", tree / f"train/{name}.mp4"))

    reasons = _spoilt(PICTURES + SOUND, names, make)
    _append(tree / "my_train.txt", [f"{name},10,0" for name in reasons])
    # The tree itself lacks a clip and has one that is too short.
    reasons |= {"video000005_000005_000015": "missing", "video000006_000006_000016": "3 frames, 4 are needed"}
    make("not_in_list_000000_000010")
    _other_sound(tree / "train/video000003_000003_000013.mp4", video="libx264", audio="aac", rate=8000)
    return _through_links(tree, root / "own"), reasons


def ave(root: Path) -> OddTree:
    tree = data_trees.ave(root / "tree")
    names = (f"odd{place:08d}" for place in range(30))

    def make(name: str) -> Path:
        return Path(shutil.copy(tree / "AVE_Dataset/AVE/aaaaaaaaaaa.mp4", tree / f"AVE_Dataset/AVE/{name}.mp4"))

    reasons = _spoilt(PICTURES + SOUND, names, make)
    _append(tree / "trainSet.txt", [f"Bark&{name}&good&0&10" for name in reasons])
    make("not_in_list")
    _other_sound(tree / "AVE_Dataset/AVE/bbbbbbbbbbb.mp4", video="libx264", audio="aac", rate=8000)
    return _through_links(tree, root / "own"), reasons


def ucf101(root: Path) -> OddTree:
    tree = data_trees.ucf101(root / "tree")
    home = tree / "UCF-101/Typing"
    names = (f"Typing/v_Typing_g05_c{place:02d}" for place in range(10, 40))

    def make(name: str) -> Path:
        return Path(shutil.copy(home / "v_Typing_g05_c01.avi", home / f"{Path(name).name}.avi"))

    reasons = _spoilt(PICTURES + SOUND, names, make)
    _append(tree / "ucfTrainTestlist/trainlist01.txt", [f"{name}.avi 3" for name in reasons])
    reasons |= {"Typing/v_Typing_g02_c01": "no audio stream", "Archery/v_Archery_g02_c02": "frames, 4 are needed"}
    make("not_in_list")
    _other_sound(home / "v_Typing_g04_c01.avi", video="mpeg4", audio="pcm_s16le", rate=8000)
    return _through_links(tree, root / "own"), reasons


def grid(root: Path) -> OddTree:
    tree = data_trees.grid(root / "tree")
    names = (f"bgai{digit}{adverb}" for digit in "123456789" for adverb in "anps")

    def make(name: str) -> Path:
        words = tree / f"alignments/s1/bbai{name[4]}n.align"
        shutil.copy(words, words.with_stem(name))
        return Path(shutil.copy(tree / f"s1/bbai{name[4]}n.mpg", tree / f"s1/{name}.mpg"))

    reasons = _spoilt(PICTURES + SOUND, names, make)
    shutil.copy(tree / "s1/bbai1n.mpg", tree / "s1/no sentence.mpg")
    _other_sound(tree / "s1/bbai1n.mpg", fps=25, video="mpeg1video", audio="mp2", rate=32000)
    return _through_links(tree, root / "own"), reasons


def modelnet40(root: Path) -> OddTree:
    tree = data_trees.modelnet40(root / "tree")
    home = tree / "modelnet40_images_new_12x/bed/train"
    names = (f"train/bed_{place:04d}" for place in range(100, 130))

    def make(name: str) -> Path:
        files = [home / f"{Path(name).name}.obj.shaded_v{view:03d}.png" for view in (1, 7)]
        for path in files:
            shutil.copy(home / path.name.replace(Path(name).name, "bed_0000"), path)
        return files[len(name) % 2]

    reasons = _spoilt(IMAGES, names, make)
    lines = [f"../modelnet40_images_new_12x/bed/{name}.obj.shaded_v001.png\t0" for name in reasons]
    _append(tree / "train.txt", lines)
    make("train/not_in_list")
    for place, mode in enumerate(("L", "P", "RGBA")):
        path = home / f"bed_{place:04d}.obj.shaded_v001.png"
        Image.open(path).convert(mode).resize((100, 80)).save(path)
    for path in list(home.parent.parent.rglob("sofa_*.png")):
        path.rename(path.with_name(path.name.upper()))
    return _through_links(tree, root / "own"), reasons


def nyuv2(root: Path) -> OddTree:
    tree = data_trees.nyuv2(root / "tree")

    def make(name: str) -> Path:
        for kind in ("image", "label", "depth"):
            os.link(tree / f"train/{kind}/0.npy", tree / f"{Path(name).parent}/{kind}/{Path(name).name}.npy")
        path = tree / f"train/{('image', 'depth')[int(Path(name).name) % 2]}/{Path(name).name}.npy"
        shutil.copy(tree / f"train/{path.parent.name}/0.npy", path.with_suffix(".copy"))
        path.with_suffix(".copy").replace(path)
        return path

    reasons = _spoilt(ARRAYS, (f"train/{place}" for place in range(3, 30)), make)
    shutil.copy(tree / "train/image/0.npy", tree / "train/image/0 copy.npy")
    return _through_links(tree, root / "own"), reasons
