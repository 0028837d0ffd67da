"""Putting two digits into one picture: the pieces of MultiMNIST (Sener & Koltun 2018; MMPareto appendix C)."""

from __future__ import annotations

import numpy as np


def different_partners(labels: np.ndarray, count: int, random: np.random.RandomState) -> np.ndarray:
    """Return (len(labels), count) indices into ``labels``: for each image, partners of another class.

    Each partner is drawn uniformly among all images of other classes. ``labels`` must hold two classes at least.
    """
    order = np.argsort(labels, kind="stable")
    classes, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    which = np.searchsorted(classes, labels)
    start, size = starts[which][:, None], sizes[which][:, None]
    draw = np.floor(random.random_sample((len(labels), count)) * (len(labels) - size)).astype(np.int64)
    # Skip over the image's own class, which is one contiguous stretch of the sorted order.
    return order[np.where(draw >= start, draw + size, draw)]


def salt_and_pepper(images: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
    """Return a copy of uint8 ``images`` in which each pixel is, with probability ``fraction``, replaced.

    A replaced pixel is white (255) or black (0) with equal probability.
    """
    draw = random.random_sample(images.shape)
    noisy = np.where(draw < fraction / 2, np.uint8(255), images)
    return np.where((draw >= fraction / 2) & (draw < fraction), np.uint8(0), noisy)


def side_by_side(left: np.ndarray, right: np.ndarray, overlap: int) -> np.ndarray:
    """Return uint8 pictures (N, H, 2W - overlap) of ``left`` and ``right`` (N, H, W); the brighter where both are."""
    width = left.shape[2]
    canvas = np.zeros((len(left), left.shape[1], 2 * width - overlap), dtype=np.uint8)
    canvas[:, :, :width] = left
    place = canvas[:, :, width - overlap :]
    np.maximum(place, right, out=place)
    return canvas


def overlaid(left: np.ndarray, right: np.ndarray, canvas: int, offset: tuple[int, int]) -> np.ndarray:
    """Return uint8 pictures (N, canvas, canvas): ``left`` (N, H, W) in the corner, ``right`` moved by ``offset``.

    Where the two overlap, the brighter pixel.
    """
    height, width = left.shape[1:]
    pictures = np.zeros((len(left), canvas, canvas), dtype=np.uint8)
    pictures[:, :height, :width] = left
    place = pictures[:, offset[0] : offset[0] + height, offset[1] : offset[1] + width]
    np.maximum(place, right, out=place)
    return pictures


def nearest(pictures: np.ndarray, size: int) -> np.ndarray:
    """Return ``pictures`` (N, S, S) as (N, size, size): the pixel under each new pixel's centre, as in Pillow."""
    index = ((np.arange(size) + 0.5) * (pictures.shape[1] / size)).astype(np.int64)
    return pictures[:, index][:, :, index]
