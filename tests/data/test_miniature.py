"""Made-up datasets have what the real ones have that they stand in for: modalities, splits, something to learn."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.data.prepare import prepare_dataset

SHAPES = {
    "miniature_clips": {"audio", "visual"},
    "miniature_views": {"front", "back"},
    "miniature_utterances": {"text", "audio", "visual"},
}


@pytest.fixture(params=sorted(SHAPES))
def prepared(request, tmp_path):
    return request.param, prepare_dataset(request.param, {"noise": 0.5}, tmp_path, tmp_path / f"{request.param}.k", "k")


def test_every_split_has_its_samples_in_every_modality(prepared):
    name, data = prepared
    assert set(data.splits) == {"train", "val", "test"}
    for split in data.splits:
        assert set(data.modalities) == SHAPES[name]
        sizes = {len(np.asarray(data.array(split, modality))) for modality in SHAPES[name]}
        assert sizes == {len(data.array(split, "label"))}


def test_a_later_modality_is_harder_than_an_earlier_one(prepared):
    """Nearest class means find the class of every modality; what differs is how far samples scatter around them."""
    _, data = prepared
    labels, wanted = (np.asarray(data.array(split, "label")) for split in ("train", "test"))
    spreads = {}
    for modality in data.modalities:
        train, test = (
            np.asarray(data.array(split, modality)).reshape(len(of), -1)
            for split, of in (("train", labels), ("test", wanted))
        )
        means = np.stack([train[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
        spread = np.stack([train[labels == c].std(axis=0).mean() for c in range(labels.max() + 1)]).mean()
        nearest = np.square(test[:, None] - means).sum(axis=2).argmin(axis=1)
        assert (nearest == wanted).mean() > 0.9
        spreads[modality] = spread
    assert list(spreads.values()) == sorted(spreads.values())
