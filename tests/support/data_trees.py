"""Miniatures of every dataset's raw files, in the layout in which they are published."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from media_files import write_clip, write_wav
from PIL import Image

from counterpoise.data.datasets.kinetics_sounds import CLASSES as KINETICS

AVE = {
    "train": [
        "Bark&aaaaaaaaaaa&good&0&10",
        "Cat&bbbbbbbbbbb&good&2&5",
        "Cat&bbbbbbbbbbb&good&7&9",
        "Clock&ccccccccccc&good&0&0",
        "Goat&ddddddddddd&good&4&5",
        "Bus&eeeeeeeeeee&good&0&10",
    ],
    "val": ["Bark&fffffffffff&good&0&10", "Cat&ggggggggggg&good&1&3"],
    "test": ["Bus&eeeeeeeeeee&good&0&10", "Goat&hhhhhhhhhhh&good&0&6"],
}
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
CREMA_D = [f"{1001 + place % 4}_IEO_{emotion}_HI" for place, emotion in enumerate([*EMOTIONS] * 4)]
CREMA_D = sorted({f"{name[:5]}{sentence}{name[8:]}" for name in CREMA_D for sentence in ("DFA", "IOM")})


def crema_d(root: Path) -> Path:
    """A clone of CREMA-D with its media in FLV and WAV and both kinds of lists."""
    for place, name in enumerate(CREMA_D):
        seconds = 1.2 + 0.4 * (place % 6)
        write_clip(
            root / f"VideoFlash/{name}.flv", seconds=seconds, fps=30, video="flv", audio="libmp3lame", first_frame=place
        )
        write_wav(root / f"AudioWAV/{name}.wav", seconds=seconds, frequency=300 + 10 * place)
    (root / "ogm_ge").mkdir()
    for half, members in (("train", CREMA_D[::2]), ("test", CREMA_D[1::2])):
        lines = [f"{name},{name.split('_')[2]}\r\n" for name in members]
        (root / f"ogm_ge/{half}.csv").write_text("\ufeff" + "".join(lines), encoding="utf-8")
    actors = sorted({name[:4] for name in CREMA_D})
    fold = {
        split: [f"{name}.wav" for name in CREMA_D if name[:4] in members]
        for split, members in (("train", actors[:-2]), ("val", actors[-2:-1]), ("test", actors[-1:]))
    }
    (root / "mlb").mkdir()
    (root / "mlb/data_splits_VALV.json").write_text(json.dumps({"1": fold}))
    return root


def kinetics_sounds(root: Path) -> Path:
    """Training clips flat, validation clips in class folders, as the two usual downloads have them."""
    train, test = [], []
    for place in range(8):
        name = f"video{place:06d}_{place:06d}_{place + 10:06d}"
        train.append(f"{name},10,{place % 3}")
        if place != 5:
            write_clip(root / f"train/{name}.mp4", seconds=3.0 if place == 6 else 6.0, video="libx264", audio="aac")
    for place in range(4):
        name = f"other{place:06d}"
        test.append(f"{name}_{place + 60},10,{place % 3}")
        folder = KINETICS[place % 3]
        stem = f"{name}_{place + 60:06d}_{place + 70:06d}"
        write_clip(root / f"val/{folder}/{stem}.mp4", seconds=6.0, video="libx264", audio="aac", first_frame=place)
    (root / "my_train.txt").write_text("\n".join(train))
    (root / "my_test.txt").write_text("\n".join(test))
    return root


def ave(root: Path) -> Path:
    """AVE's folder: a clip listed twice, an event without length, a clip that is in train and test."""
    names = sorted({line.split("&")[1] for lines in AVE.values() for line in lines})
    for place, name in enumerate(names):
        write_clip(
            root / f"AVE_Dataset/AVE/{name}.mp4",
            seconds=10.0,
            video="libx264",
            audio="aac",
            rate=16000,
            first_frame=place,
        )
    for split, lines in AVE.items():
        (root / f"{split}Set.txt").write_text("\n".join(lines) + "\n")
    return root


def ucf101(root: Path) -> Path:
    """UCF101's folder: a class that has no sound, a silent clip, a short one, a class of two spellings."""
    train, test = ["Biking/v_Biking_g08_c01.avi 11"], []
    for number, name in enumerate(("Archery", "HandstandPushups", "Typing")):
        spelled = "HandStandPushups" if name == "HandstandPushups" else name
        for group in range(1, 6):
            for place in (1, 2):
                file = f"{name}/v_{spelled}_g{group:02d}_c{place:02d}.avi"
                (test if group == 1 else train).append(file if group == 1 else f"{file} {number + 1}")
                silent = (name, group, place) == ("Typing", 2, 1)
                short = (name, group, place) == ("Archery", 2, 2)
                write_clip(
                    root / "UCF-101" / file,
                    seconds=2.0 if short else 5.0,
                    video="mpeg4",
                    audio=None if silent else "pcm_s16le",
                    layout="stereo",
                    first_frame=group,
                )
    (root / "ucfTrainTestlist").mkdir()
    (root / "ucfTrainTestlist/trainlist01.txt").write_text("\r\n".join(train) + "\r\n")
    (root / "ucfTrainTestlist/testlist01.txt").write_text("\n".join(test) + "\n")
    return root


CUBE = """8 12 0
-1 -1 -1\n1 -1 -1\n1 1 -1\n-1 1 -1\n-1 -1 1\n1 -1 1\n1 1 1\n-1 1 1
3 0 1 2\n3 0 2 3\n3 4 6 5\n3 4 7 6\n3 0 5 1\n3 0 4 5\n3 1 6 2\n3 1 5 6\n3 2 7 3\n3 2 6 7\n3 3 4 0\n3 3 7 4
"""
SHAPES = [(half, name, number) for half in ("train", "test") for number, name in enumerate(("bed", "sofa"))]


def modelnet40(root: Path) -> Path:
    """MVCNN's twelve views and the official meshes of six shapes a half."""
    lines = {"train": [], "test": []}
    for half, name, label in SHAPES:
        for shape in range(3):
            stem = f"{name}_{shape:04d}"
            folder = root / "modelnet40_images_new_12x" / name / half
            folder.mkdir(parents=True, exist_ok=True)
            for view in range(12):
                level = 20 * view + shape + (5 if half == "test" else 0)
                Image.new("RGB", (224, 224), (level, label, 0)).save(folder / f"{stem}.obj.shaded_v{view + 1:03d}.png")
            lines[half].append(f"../modelnet40_images_new_12x/{name}/{half}/{stem}.obj.shaded_v001.png\t{label}")
            mesh = root / "ModelNet40" / name / half / f"{stem}.off"
            mesh.parent.mkdir(parents=True, exist_ok=True)
            # Half of ModelNet's files have the counts on the first line, behind OFF.
            mesh.write_text(("OFF" if shape % 2 else "OFF\n") + CUBE)
    for half, rows in lines.items():
        (root / f"{half}.txt").write_text("\n".join(rows) + "\n")
    return root


def nyuv2(root: Path) -> Path:
    """MTAN's folder with three training and two test scenes."""
    random = np.random.default_rng(0)
    for half, count in (("train", 3), ("val", 2)):
        for number in range(count):
            arrays = {
                "image": random.random((288, 384, 3)),
                "label": random.integers(-1, 13, (288, 384)).astype(np.float32),
                "depth": random.random((288, 384, 1)) * (random.random((288, 384, 1)) > 0.2),
                "normal": random.random((288, 384, 3)),
            }
            for kind, array in arrays.items():
                (root / half / kind).mkdir(parents=True, exist_ok=True)
                np.save(root / half / kind / f"{number}.npy", array)
    return root


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array in MNIST's file format."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


def mnist(root: Path, train: int = 60, test: int = 20) -> Path:
    """MNIST's four files with noise for digits."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 6:22, 6:22] = random.integers(0, 256, (count, 16, 16))
        write_idx(root / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(root / f"{prefix}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return root


def cmu_mosi(root: Path, videos: int = 4) -> Path:
    """The public feature files of a few videos, half of them numbered as training videos."""
    random = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    transcripts = []
    for number in range(videos):
        place = number + 1 if number % 2 == 0 else 63 + number
        transcripts += [(f"video{number:05d}_{part}", "WELL", place, (part + number) % 2) for part in range(9)]
    lines = [f'"{name}","{text}","{place}","{label}"' for name, text, place, label in transcripts]
    (root / "transcripts.csv").write_text("\n".join(lines) + "\n")
    for half in ("train", "test"):
        members = [row for row in transcripts if (row[2] <= 62) == (half == "train")]
        labels = sorted((row[3] for row in members), reverse=True)
        for name, width in (("text", 100), ("audio", 73), ("video", 100)):
            rows = [[*random.normal(size=width).round(4), label] for label in labels]
            text = "\n".join(",".join(f'"{value}"' for value in row) for row in rows)
            (root / f"{name}_{half}0.csv").write_text(text + "\n")
    return root


def grid(root: Path) -> Path:
    """GRID's folder: clips named by their sentence, in MPEG, and the corpus's own alignment files."""
    for place, digit in enumerate("z123456789" * 4):
        name = f"{'blps'[place // 10]}bai{digit}n"
        write_clip(
            root / f"s1/{name}.mpg",
            seconds=3.0,
            fps=25,
            video="mpeg1video",
            audio="mp2",
            frequency=200.0 + 40 * (place % 10),
            first_frame=place % 10,
        )
        aligned = root / f"alignments/s1/{name}.align"
        aligned.parent.mkdir(parents=True, exist_ok=True)
        words = {"z": "zero"} | dict(
            zip("123456789", ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
        )
        aligned.write_text(f"0 20000 sil\n20000 45000 {words[digit]}\n45000 74500 sil\n")
    return root
