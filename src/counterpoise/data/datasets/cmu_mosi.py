"""CMU-MOSI (MMPareto Table 7): opinions on film, one utterance each, as text, audio and visual features."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.data import lists
from counterpoise.data.interface import Dataset
from counterpoise.data.normalise import measure
from counterpoise.data.pickles import load_pickle
from counterpoise.data.sources import RawFiles, Source
from counterpoise.data.store import GROUP, ArrayStore, group_numbers
from counterpoise.data.work import Work
from counterpoise.declare import dataset, setting
from counterpoise.errors import UserError

PORIA = "https://raw.githubusercontent.com/declare-lab/multimodal-deep-learning/master/bc-LSTM/data/"
SDK_HOMES = ("A2Zadeh/CMU-MultimodalSDK/master", "CMU-MultiComp-Lab/CMU-MultimodalSDK/main")
SDK_FOLDS = "mmsdk/mmdatasdk/dataset/standard_datasets/CMU_MOSI/cmu_mosi_std_folds.py"
LICENCE = "MIT (features); CMU-MOSI for research"
TRAIN_VIDEOS = 62
WIDTHS = {"text": 100, "audio": 73, "visual": 100}
FILES = {"text": "text", "audio": "audio", "visual": "video"}
PUBLISHED = {
    "text_train0.csv": (2993906, "cc327045db6cc361a08b4037b97bb24de4ddb5efb381468c4835cc4a60674668"),
    "text_test0.csv": (1551145, "a343e22272919d1384c2075dbcdd5fef5aa9f9366b0552a83f7c3147b64b047a"),
    "audio_train0.csv": (1343911, "5435398a54664e7b00304587dc59ae84a438852be033c2a2fba779588624a2a1"),
    "audio_test0.csv": (699228, "ddd17eeefd3d951d51d4e2ef8a0d132652d8161e1886f71eb7262b7a14bffff6"),
    "video_train0.csv": (1055454, "b6efc0413132d627efd06f67f1706830e775e90af9a75696f535c48dbc73f12f"),
    "video_test0.csv": (557378, "cab836253d81100f59d533fa2ff65cd53c486be3ec9fd82203c5e25a7a77265f"),
    "transcripts.csv": (201361, "e7689e6d70720addd2a6b316419d245a68839c32b014ff426c406063ee777466"),
}
CLASSES = {"binary": ["negative", "positive"], "three": ["negative", "neutral", "positive"]}


@dataset(
    name="cmu_mosi",
    title="CMU-MOSI",
    task="multimodal",
    modalities=("text", "audio", "visual"),
    targets=("sentiment",),
    licence="research",
    paper="Zadeh et al., IEEE Intelligent Systems 2016; MMPareto, ICML 2024, Table 7",
)
class CmuMosi(Dataset):
    """2,199 utterances of 93 videos.

    ``features: poria``: one vector per utterance from public CSV files. Text and visual features were learned
    with the labels of the 1,447 training utterances of that release, so only its own split (1,447/752) is
    sound; the standard split can be asked for and is then reported as a leak. ``features: mult``:
    word-aligned sequences from the MulT package, a pickle that the user provides, on the standard split.
    """

    folder = "cmu_mosi"

    features: str = setting("poria", choices=("poria", "mult"), doc="which features")
    split: str = setting("poria", choices=("poria", "standard"), doc="1,447/752, or by video 1,284/229/686")
    labels: str = setting("binary", choices=("binary", "three"), doc="two classes, or three cut at the thresholds")
    neutral: str = setting(
        "positive", choices=("positive", "negative", "drop"), doc="binary: what a label of 0 counts as"
    )
    thresholds: list = setting([-0.5, 0.5], doc="three: negative below the first, positive above the second")
    pickle: str = setting("mosi_data.pkl", doc="mult: file name of the pickle")
    pool: str = setting("none", choices=("none", "mean"), doc="mult: keep the sequence, or its mean over real steps")

    def sources(self) -> list[Source]:
        if self.features == "mult":
            how = (
                f"fetch {self.pickle} of the MulT package by hand "
                "(github.com/yaohungt/Multimodal-Transformer names the folder; docs/datasets.md)"
            )
            return [Source(path=self.pickle, licence=LICENCE, manual=how)]
        found = [
            Source(path=name, urls=(_poria_url(name),), size=size, sha256=sha256, licence=LICENCE)
            for name, (size, sha256) in PUBLISHED.items()
        ]
        found.append(Source(path="utterances.csv", licence=LICENCE, optional=True))
        if self.split == "standard":
            folds = tuple(f"https://raw.githubusercontent.com/{home}/{SDK_FOLDS}" for home in SDK_HOMES)
            found.append(Source(path="cmu_mosi_std_folds.py", urls=folds, licence="MIT", instead=("std_folds.json",)))
        return found

    def check(self) -> None:
        if self.features == "mult" and self.split != "standard":
            raise UserError("split: features 'mult' have the standard split only; set split: standard")
        if self.features == "mult" and self.pickle.endswith(".csd"):
            raise UserError(
                f"pickle: {self.pickle} is a computational sequence of the CMU SDK (HDF5), which is not read here; "
                "name a pickle of aligned features, such as mosi_data.pkl of the MulT package"
            )
        numbers = [value for value in self.thresholds if isinstance(value, int | float)]
        if len(self.thresholds) != 2 or len(numbers) != 2 or not numbers[0] <= numbers[1]:
            raise UserError(f"thresholds: {self.thresholds}: must be two numbers, the smaller first")

    def without_effect(self) -> dict[str, str]:
        idle = {"thresholds": "with labels 'binary'"} if self.labels == "binary" else {"neutral": "with labels 'three'"}
        if self.features == "poria":
            idle |= dict.fromkeys(("pickle", "pool"), "with features 'poria'")
        return idle

    def prepare(self, raw: RawFiles, store: ArrayStore, work: Work) -> None:
        store.target("sentiment", names=CLASSES[self.labels])
        if self.features == "mult":
            self._prepare_mult(raw, store)
        else:
            self._prepare_poria(raw, store)
        for name in self.info.modalities:
            measure(store, name)

    # ---- utterance-level vectors ----

    def _prepare_poria(self, raw: RawFiles, store: ArrayStore) -> None:
        rows = _read_vectors(raw)
        for name, width in WIDTHS.items():
            store.modality(name, shape=(width,), dtype="float32")
        store.extra(GROUP)
        opinions = self._opinions(raw, rows)
        for split, members in self._poria_splits(raw, rows, store).items():
            kept = [name for name in members if isinstance(opinions[name], int)]
            dropped = [(name, opinions[name]) for name in members if not isinstance(opinions[name], int)]
            self._check_kept(split, [opinions[name] for name in kept], dropped)
            arrays = {name: np.stack([rows[member][name] for member in kept]) for name in WIDTHS}
            labels = np.array([opinions[member] for member in kept])
            arrays[GROUP] = group_numbers(_video_of(member) for member in kept)
            store.append(split, kept, dropped=dropped, sentiment=labels, **arrays)

    def _poria_splits(self, raw: RawFiles, rows: dict[str, Any], store: ArrayStore) -> dict[str, list[str]]:
        if self.split == "poria":
            return {half: [name for name, row in rows.items() if row["half"] == half] for half in ("train", "test")}
        folds = _standard_folds(raw)
        splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for name in rows:
            splits[_fold_of(name, folds)].append(name)
        learned = [name for name in splits["test"] if rows[name]["half"] == "train"]
        store.leak(
            "features learned with test labels",
            splits=["train", "test"],
            count=len(learned),
            examples=learned[:10],
            expected=False,
        )
        return splits

    def _opinions(self, raw: RawFiles, rows: dict[str, Any]) -> dict[str, int | str]:
        """Return each utterance's class, or the reason why it is left out."""
        if self.labels == "binary" and self.neutral == "positive":
            return {name: row["label"] for name, row in rows.items()}
        path = raw / "utterances.csv"
        if not path.is_file():
            raise UserError(
                f"{path}: is not there; its labels in [-3, 3] are needed for "
                f"labels: {self.labels}, neutral: {self.neutral}"
            )
        values = {
            row["id"]: lists.number(row["label_regression"], path, f"line {number}")
            for number, row in lists.read_table(path, ("id", "label_regression"), "label file")
        }
        missing = [name for name in rows if name not in values]
        if missing:
            raise UserError(f"{path}: no label for {len(missing)} utterances: {', '.join(missing[:5])}")
        return {name: self._class(values[name]) for name in rows}

    def _class(self, value: float) -> int | str:
        """Return the class of a label in [-3, 3], or the reason why its utterance is left out."""
        if not -3 <= value <= 3:
            return f"its label is {value:g}, not from -3 to 3"
        if self.labels == "three":
            low, high = self.thresholds
            return 0 if value < low else 2 if value > high else 1
        if value == 0 and self.neutral == "drop":
            return "its label is 0 (setting neutral)"
        return int(value > 0 or (value == 0 and self.neutral == "positive"))

    def _check_kept(self, split: str, labels: Sequence[int], dropped: Sequence[tuple[str, str]]) -> None:
        """Raise ``UserError`` where a class of a split has no utterance."""
        gone = [name for number, name in enumerate(CLASSES[self.labels]) if number not in labels]
        if gone:
            why = f"; {len(dropped)} are left out: {dropped[0][1]}" if dropped else "; see labels and thresholds"
            raise UserError(f"cmu_mosi: {split}: no utterance is {' or '.join(gone)}{why}")

    # ---- word-aligned sequences ----

    def _prepare_mult(self, raw: RawFiles, store: ArrayStore) -> None:
        path = raw / self.pickle
        data = load_pickle(path)
        parts = {
            split: _mult_part(path, data, key)
            for split, key in (("train", "train"), ("val", "valid"), ("test", "test"))
        }
        for name in self.info.modalities:
            steps, width = parts["train"][name].shape[1:]
            shape = (width,) if self.pool == "mean" else (steps, width)
            store.modality(name, shape=shape, dtype="float32")
        for split, part in parts.items():
            ids = [f"{split}/{place:04d}" for place in range(len(part["labels"]))]
            opinions = [self._class(float(value)) for value in part["labels"]]
            for place in np.flatnonzero(part["broken"]):
                opinions[place] = "its features are not numbers"
            kept = [place for place, opinion in enumerate(opinions) if isinstance(opinion, int)]
            dropped = [
                (name, opinion) for name, opinion in zip(ids, opinions, strict=True) if not isinstance(opinion, int)
            ]
            labels = np.array([opinions[place] for place in kept], dtype=np.int64)
            self._check_kept(split, labels.tolist(), dropped)
            arrays = {name: self._pooled(part[name][kept]) for name in self.info.modalities}
            store.append(split, [ids[place] for place in kept], dropped=dropped, sentiment=labels, **arrays)

    def _pooled(self, values: np.ndarray) -> np.ndarray:
        """Return sequences (N, T, D) as they are, or their mean (N, D) over the steps that are not padding."""
        if self.pool == "none":
            return values
        real = (values != 0).any(axis=2, keepdims=True)
        return (values.sum(axis=1) / np.maximum(real.sum(axis=1), 1)).astype(np.float32)


def _poria_url(name: str) -> str:
    """Return where a feature file is published: each modality has a folder of its own."""
    folder = "" if name == "transcripts.csv" else name.split("_")[0] + "/"
    return f"{PORIA}{folder}{name}"


def _read_vectors(raw: RawFiles) -> dict[str, dict[str, Any]]:
    """Return each utterance's features, label and half by its id, in the order of the files.

    The files carry no ids. Their rows are the transcripts' utterances of the first 62 videos (train) or of the others
    (test), positive ones first, each group in the transcripts' order; the labels in both are compared.
    """
    path = raw / "transcripts.csv"
    transcripts = lists.read_rows(path, 4, "transcripts")
    for row in transcripts:
        lists.whole_number(row[2], path, f"utterance {row[0]}: video", minimum=1)
        lists.whole_number(row[3], path, f"utterance {row[0]}: label", maximum=1)
    rows: dict[str, dict[str, Any]] = {}
    for half in ("train", "test"):
        members = [row for row in transcripts if (int(row[2]) <= TRAIN_VIDEOS) == (half == "train")]
        ordered = [row for row in members if row[3] == "1"] + [row for row in members if row[3] != "1"]
        values = {name: _read_matrix(raw / f"{FILES[name]}_{half}0.csv", width) for name, width in WIDTHS.items()}
        for name, (matrix, labels) in values.items():
            if len(matrix) != len(ordered):
                raise UserError(f"{raw / f'{FILES[name]}_{half}0.csv'}: {len(matrix)} rows, {len(ordered)} transcripts")
            if [str(label) for label in labels] != [row[3] for row in ordered]:
                raise UserError(f"{raw / f'{FILES[name]}_{half}0.csv'}: its labels are not those of transcripts.csv")
        for place, row in enumerate(ordered):
            if row[0] in rows:
                raise UserError(f"{raw / 'transcripts.csv'}: id {row[0]} occurs twice")
            features = {name: matrix[place] for name, (matrix, _) in values.items()}
            rows[row[0]] = {"half": half, "label": int(row[3]), **features}
    return rows


def _read_matrix(path: Path, width: int) -> tuple[np.ndarray, list[int]]:
    """Return the features float32 (N, width) and the labels of a feature file; its last column is the label."""
    rows = lists.read_rows(path, width + 1, "feature file")
    try:
        matrix = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    broken = ~np.isfinite(matrix).all(axis=1)
    if broken.any():
        # Rows are matched with transcripts by their place, so none can be left out.
        raise UserError(f"{path}: row {1 + int(np.argmax(broken))} holds NaN or infinite values")
    labels = matrix[:, -1]
    if not np.isin(labels, (0, 1)).all():
        raise UserError(f"{path}: unknown label {labels[~np.isin(labels, (0, 1))][0]}; allowed: 0, 1")
    return matrix[:, :-1].astype(np.float32), labels.astype(int).tolist()


def _standard_folds(raw: RawFiles) -> dict[str, set[str]]:
    """Return the videos of the standard split, from its JSON or from the list in CMU's own Python file."""
    if (raw / "std_folds.json").is_file():
        path = raw / "std_folds.json"
        found = lists.read_json(path, "list of folds")
        names = {"train": "train", "valid": "val", "test": "test"}
        folds = {ours: found[theirs] for theirs, ours in names.items() if isinstance(found, dict) and theirs in found}
    else:
        path = raw / "cmu_mosi_std_folds.py"
        names = {"standard_train_fold": "train", "standard_valid_fold": "val", "standard_test_fold": "test"}
        folds = {}
        try:
            for node in ast.parse(lists.read_text(path, "list of folds")).body:
                target = node.targets[0] if isinstance(node, ast.Assign) else None
                if isinstance(target, ast.Name) and target.id in names:
                    folds[names[target.id]] = ast.literal_eval(node.value)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: is not CMU's list of folds ({error})") from error
    if set(folds) != {"train", "val", "test"}:
        raise UserError(f"{path}: has no train, valid and test fold")
    if not all(isinstance(videos, list) and all(isinstance(v, str) for v in videos) for videos in folds.values()):
        raise UserError(f"{path}: a fold is not a list of videos")
    return {name: set(videos) for name, videos in folds.items()}


def _video_of(utterance: str) -> str:
    return utterance.rpartition("_")[0]


def _fold_of(utterance: str, folds: dict[str, set[str]]) -> str:
    video = _video_of(utterance)
    for name, videos in folds.items():
        if video in videos:
            return name
    raise UserError(f"cmu_mosi: video {video} is in no standard fold")


def _mult_part(path: Path, data: Any, key: str) -> dict[str, np.ndarray]:
    """Return a split of the MulT pickle: text, audio, visual float32 (N, T, D), labels (N,), and ``broken`` (N,),
    which is true where features are NaN.
    """
    try:
        part = data[key]
        arrays = {
            name: np.asarray(part[theirs])
            for name, theirs in (("text", "text"), ("audio", "audio"), ("visual", "vision"))
        }
        labels = np.asarray(part["labels"], dtype=np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: has no {key} split with text, audio, vision and labels ({error!r})") from error
    for name, values in arrays.items():
        if values.ndim != 3 or len(values) != len(labels):
            raise UserError(f"{path}: {key}: {name} is {values.shape}, expected ({len(labels)}, steps, width)")
    broken = np.zeros(len(labels), dtype=bool)
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu":
            raise UserError(f"{path}: {key}: {name} holds {values.dtype}, not numbers")
        broken |= np.isnan(values).any(axis=(1, 2))
    # The release marks silence by minus infinity in the audio features.
    finite = {name: np.where(np.isfinite(values), values, 0.0).astype(np.float32) for name, values in arrays.items()}
    return {**finite, "labels": labels, "broken": broken}
