"""The handwritten digits that ship with scikit-learn: 1,797 real images of 8x8, no download."""

from __future__ import annotations

import hashlib

import numpy as np

from counterpoise.data.store import ArrayStore
from counterpoise.errors import UserError

SHA256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"
LICENCE = "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)"
LEVELS = 16


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (1797, 8, 8) with levels 0 to 16 and labels int64 (1797,).

    Raises ``UserError`` where the installed scikit-learn ships other digits than the ones the configs were made for.
    """
    from sklearn import datasets  # here, because planning and training need no scikit-learn

    found = datasets.load_digits()
    images, labels = found.images.astype(np.uint8), found.target.astype(np.int64)
    digest = digits_digest(images, labels)
    if digest != SHA256:
        raise UserError(f"scikit-learn's load_digits: sha256 of images and labels is {digest}, expected {SHA256}")
    return images, labels


def digits_digest(images: np.ndarray, labels: np.ndarray) -> str:
    """Return the SHA-256 of the images' bytes followed by the labels'."""
    return hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()


def record_source(store: ArrayStore) -> None:
    """Name the digits as what the arrays in ``store`` were made from."""
    store.source("scikit-learn load_digits", sha256=SHA256, size=1797 * (64 + 8), licence=LICENCE)


def to_uint8(images: np.ndarray, upscale: int) -> np.ndarray:
    """Return the images (N, 8, 8) with levels 0 to 255, each pixel repeated ``upscale`` times both ways."""
    bright = np.round(images.astype(np.float64) * (255.0 / LEVELS)).astype(np.uint8)
    return bright.repeat(upscale, axis=1).repeat(upscale, axis=2)
