"""GRID: fifty real clips with real codecs, and what their names and alignments say."""

import hashlib
import shutil

import data_trees
import numpy as np
import pytest

from counterpoise.data.datasets.grid import GRAMMAR
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.prepare import prepare_dataset
from counterpoise.errors import UserError

SMALL = {"clips": "present", "frame_size": [36, 45]}
ON_WORD = {"window": "word", "front_end": "wave", "audio_seconds": 1.0, "fps": 25.0}


@pytest.fixture(scope="module")
def raw(tmp_path_factory, shared):
    root = tmp_path_factory.mktemp("raw")
    fetch_dataset("grid", {}, root, mirror=shared / "mirror")
    return root


@pytest.fixture(scope="module")
def few(tmp_path_factory, shared):
    """A user's own folder with two clips of every digit: decoding all fifty takes seconds each time."""
    folder = tmp_path_factory.mktemp("few")
    (folder / "s1").mkdir()
    shutil.copy(shared / "mirror/grid/alignments.csv", folder)
    for digit in GRAMMAR["digit"]:
        for path in sorted((shared / "mirror/grid/s1").glob(f"????{digit}?.mpg"))[:2]:
            shutil.copy(path, folder / "s1")
    return folder


def prepare(folder, raw, workers=0, **settings):
    return prepare_dataset("grid", {**SMALL, **settings}, raw, folder / "grid.k", "k", workers=workers)


def prepare_few(folder, few, workers=0, **settings):
    settings = {**SMALL, "test_fraction": 0.5, **settings}
    return prepare_dataset(
        "grid", settings, folder / "raw", folder / "grid.k", "k", workers=workers, data_roots={"grid": few}
    )


def test_fifty_real_clips_decode_five_per_digit(tmp_path, raw):
    data = prepare(tmp_path, raw)
    counts = np.add(data.class_counts("train", "word"), data.class_counts("test", "word"))
    assert counts.tolist() == [5] * 10
    assert data.manifest["dropped"] == []
    assert data.modalities["audio"]["shape"] == [1, 257, 188]
    assert (data.array("train", "visual_frames") == 3).all()
    # Three seconds of sound at 22,050 Hz, to within an audio packet.
    assert (np.abs(data.array("train", "audio_length") - 66150) < 1200).all()


def test_labels_are_the_words_in_the_names(tmp_path, few):
    data = prepare_few(tmp_path, few, word="colour")
    assert len(data.ids("test")) > 5
    names = data.targets["word"]["names"]
    for name, label in zip(data.ids("test"), data.array("test", "word"), strict=True):
        assert names[label] == GRAMMAR["colour"][name[1]]


def test_bytes_do_not_depend_on_workers(tmp_path, few):
    found = []
    for workers in (0, 2):
        data = prepare_few(tmp_path / str(workers), few, workers)
        files = sorted(path for path in data.path.rglob("*") if path.is_file())
        found.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert found[0] == found[1]


def test_the_word_window_is_where_the_alignment_says(tmp_path, few, shared):
    data = prepare_few(tmp_path, few, **ON_WORD)
    lines = (shared / "mirror/grid/alignments.csv").read_text().splitlines()[1:]
    times = {}
    for line in lines:
        clip, start, end, word = line.split(",")
        times[clip, word] = (int(end) - int(start)) / 25000
    for name, length in zip(data.ids("train"), data.array("train", "audio_length"), strict=True):
        seconds = times[name, GRAMMAR["digit"][name[4]]]
        assert abs(length / 16000 - seconds) < 0.002


def test_pictures_move_and_sound_is_not_silence(tmp_path, few):
    data = prepare_few(tmp_path, few, frame_size=[72, 90])
    video = data.array("train", "visual").astype(int)
    assert (np.abs(video[:, 0] - video[:, 2]).mean(axis=(1, 2, 3)) > 0.2).all()
    assert (data.array("train", "audio").std(axis=(1, 2, 3)) > 0.5).all()


def test_all_thousand_are_missed_by_name_when_fifty_are_there(tmp_path, raw):
    with pytest.raises(UserError, match=r"the file is missing.*clips: present"):
        prepare_dataset("grid", {}, raw, tmp_path / "grid.k", "k")


def test_a_clip_whose_name_is_no_sentence_is_none_of_the_corpus(tmp_path, few):
    own = shutil.copytree(few, tmp_path / "own")
    clip = min((own / "s1").glob("*.mpg"))
    for name in ("hello", "bbaf2", "xbaf2n"):
        shutil.copy(clip, own / f"s1/{name}.mpg")
    data = prepare_few(tmp_path, own)
    assert data.manifest["notes"]["clips"] == 20


def test_a_clip_whose_alignment_is_odd_is_left_out_where_words_are_shown(tmp_path):
    own = data_trees.grid(tmp_path / "tree")
    (own / "alignments/s1/bbai1n.align").write_text("")
    (own / "alignments/s1/bbai2n.align").write_text("0 20000 sil\n20000 45000\n")
    (own / "alignments/s1/bbai3n.align").write_text("0 20000 sil\n45000 20000 three\n")
    (own / "alignments/s1/bbai4n.align").write_text("0 20000 sil\n20000 45000 five\n")
    (own / "alignments/s1/bbai5n.align").write_text("0 20000 sil\n20000 20000 five\n")
    small = {"test_fraction": 0.5, "frame_size": [24, 32], "max_dropped": 0.3, "clips": "all"}
    words = prepare_few(tmp_path / "words", own, **small, **ON_WORD)
    reasons = {entry["id"]: entry["reason"] for entry in words.manifest["dropped"]}
    assert set(reasons) == {"bbai1n", "bbai2n", "bbai3n", "bbai4n", "bbai5n"}
    assert reasons["bbai4n"] == "the alignments say nothing of its word 'four'"
    assert reasons["bbai5n"] == "the alignments give its word 'five' no length"
    whole = prepare_few(tmp_path / "whole", own, **small)
    assert whole.manifest["dropped"] == []


def test_the_corpus_own_alignment_files_are_read(tmp_path, few):
    folder = tmp_path / "own"
    (folder / "s1").mkdir(parents=True)
    (folder / "alignments/s1").mkdir(parents=True)
    for path in sorted((few / "s1").glob("*.mpg")):
        shutil.copy(path, folder / "s1")
        word = GRAMMAR["digit"][path.stem[4]]
        (folder / "alignments/s1" / f"{path.stem}.align").write_text(f"0 20000 sil\n20000 30000 {word}\n")
    data = prepare_few(tmp_path, folder, **ON_WORD)
    assert (data.array("train", "audio_length") == 6400).all()
