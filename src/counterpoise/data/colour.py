"""Colouring digits: the recipe of Colored MNIST (Kim et al., CVPR 2019) as MMPareto uses it.

Every image gets one colour. In training it is drawn around the mean colour of its digit, so that colour nearly gives
the label away; in the test set the mean colour is drawn at random among the ten, so that it says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from counterpoise.errors import UserError


def check_palette(palette: Sequence[Sequence[float]], where: str) -> np.ndarray:
    """Return the palette as float64 (10, 3) on [0, 1]; raise ``UserError`` unless it is ten RGB triples of 0 to 255."""
    try:
        colours = np.asarray(palette, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: palette: must be ten [red, green, blue] of 0 to 255") from error
    if colours.shape != (10, 3) or not ((colours >= 0) & (colours <= 255)).all():
        raise UserError(f"{where}: palette: must be ten [red, green, blue] of 0 to 255, got shape {colours.shape}")
    return colours / 255.0


def draw_colours(
    labels: np.ndarray, palette: np.ndarray, variance: float, tied: bool, random: np.random.RandomState
) -> np.ndarray:
    """Return one RGB colour (N, 3) on [0, 1] per label.

    Each is drawn from N(mean, ``variance`` * I) and clamped. The mean is ``palette[label]`` where ``tied``,
    otherwise a random one of the ten.
    """
    which = labels if tied else random.randint(0, len(palette), size=len(labels))
    noise = random.standard_normal((len(labels), 3)) * np.sqrt(variance)
    return np.clip(palette[which] + noise, 0.0, 1.0)


def paint(gray: np.ndarray, colours: np.ndarray, threshold: float) -> np.ndarray:
    """Return uint8 images (N, 3, H, W) of uint8 ``gray`` (N, H, W): each in its colour on black.

    A pixel has the colour where it is at least ``threshold``, a share of full brightness.
    """
    mask = gray.astype(np.float64) >= threshold * 255.0
    levels = np.round(colours * 255.0).astype(np.uint8)
    return mask[:, None, :, :] * levels[:, :, None, None]


def check_pairs(gray: np.ndarray, coloured: np.ndarray, ids: Sequence[str], minimum: float = 0.5) -> None:
    """Raise ``UserError`` unless every coloured image (N, 3, H, W) shows its own gray digit (N, H, W).

    The brightness of the two must correlate by at least ``minimum`` over the pixels. An image whose colour
    came out black says nothing and passes.
    """
    one = _centred(gray)
    other = _centred(coloured.max(axis=1))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    correlation = (one * other).sum(axis=1) / np.where(norms > 0, norms, 1.0)
    bad = (norms > 0) & (correlation < minimum)
    if bad.any():
        raise UserError(f"sample {ids[int(np.argmax(bad))]}: its colour image is not of the same digit as its gray one")


def _centred(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float64)
    return flat - flat.mean(axis=1, keepdims=True)
