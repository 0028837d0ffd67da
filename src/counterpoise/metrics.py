"""Every metric as one function: what it is computed from, its unit, and whether higher or lower is better.

To add a metric, write a function here and decorate it with :func:`metric`. Its first argument is what the metric is
computed from:

* ``classification``: :class:`Classification`, the logits and labels of one output;
* ``segmentation``: the confusion matrix ``(C, C)`` of all test pixels, labels down;
* ``depth``: the sums ``(3,)`` of absolute errors, of relative errors, and of known pixels;
* ``steps``: :class:`Steps`, what a run recorded of its optimisation steps. Such a function returns its values by
  output; an output that it cannot measure is left out.

Values are fractions where the unit is ``percent``. Papers, tables, results and reports all read this registry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import suggest

# SciPy is imported inside the function that needs it: reading a paper takes the names of metrics only.

Better = Literal["higher", "lower"]
Source = Literal["classification", "segmentation", "depth", "steps"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How a value is printed: times ``scale``; ``difference`` is what a difference of two values is counted in."""

    scale: float = 1.0
    difference: str


UNITS = {
    "percent": Unit(scale=100.0, difference="points"),
    "ratio": Unit(difference="ratio"),
    "depth": Unit(difference="depth"),
    "seconds": Unit(difference="seconds"),
    "seconds_squared": Unit(difference="seconds_squared"),
    "iterations": Unit(difference="iterations"),
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of the registry.

    ``beside`` says that tables show it in a column of our own wherever a paper prints another metric of the same
    source and not this one.
    """

    name: str
    title: str
    unit: str
    better: Better
    source: Source
    beside: bool
    compute: Callable[[Any], Any]


METRICS: dict[str, Metric] = {}


def metric(
    *, source: Source, title: str = "", unit: str = "percent", better: Better = "higher", beside: bool = False
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register the decorated function as the metric of its name."""
    if unit not in UNITS:
        raise ValueError(f"unit '{unit}'{suggest(unit, UNITS)}")

    def register(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
        name = compute.__name__
        if name in METRICS:
            raise ValueError(f"the metric '{name}' is there already")
        METRICS[name] = Metric(
            name=name,
            title=title or name.replace("_", " "),
            unit=unit,
            better=better,
            source=source,
            beside=beside,
            compute=compute,
        )
        return compute

    return register


def metrics_of(source: Source) -> list[Metric]:
    """Return the metrics that are computed from one source, in the order of this file."""
    return [found for found in METRICS.values() if found.source == source]


@dataclass(frozen=True, kw_only=True)
class Classification:
    """One output's predictions for N test examples: ``logits`` ``(N, C)``, ``labels`` ``(N,)`` from 0 to C - 1."""

    logits: NDArray[Any]
    labels: NDArray[np.int64]
    ece_bins: int

    @functools.cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted classes ``(N,)``."""
        return self.logits.argmax(axis=1)

    @functools.cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which examples are predicted right, ``(N,)``."""
        return self.predicted == self.labels

    @functools.cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How many examples of each label are predicted as what, ``(C, C)``, labels down."""
        classes = self.logits.shape[1]
        # One number per (label, prediction): their counts are the matrix row by row.
        counts = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return counts.reshape(classes, classes)

    @functools.cached_property
    def confidence(self) -> Floats:
        """The probability of the predicted class, ``(N,)``: the largest softmax probability."""
        from scipy.special import softmax

        return softmax(self.logits.astype(np.float64), axis=1).max(axis=1)

    @functools.cached_property
    def calibration(self) -> Floats:
        """:func:`calibration_bins` of these predictions, ``(ece_bins, 3)``."""
        return calibration_bins(self.confidence, self.right, self.ece_bins)


def calibration_bins(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int) -> Floats:
    """Return, for each of ``bins`` equal-width bins of the confidence, count, mean confidence and accuracy.

    Bin k holds the confidences from k / ``bins`` up to, but without, (k + 1) / ``bins``; the last bin also holds 1.
    So a float32 confidence that was rounded up to 1 is counted with its neighbours and not by itself.

    Args:
        confidence: ``(N,)``, in [0, 1].
        right: ``(N,)``.

    Returns:
        ``(bins, 3)`` in float64; the two means of an empty bin are NaN.
    """
    confidence = np.asarray(confidence, np.float64)
    edges = np.arange(1, bins) / bins  # the inner edges, each the double that is nearest to k / bins
    place = np.searchsorted(edges, confidence, side="right")
    count = np.bincount(place, minlength=bins).astype(np.float64)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (confidence, right)]
    means = [np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums]
    return np.stack([count, *means], axis=1)


def calibration_error(bins: Floats) -> float:
    """Return the expected calibration error of :func:`calibration_bins`' result (Guo et al., ICML 2017)."""
    count, confidence, accuracy = bins[bins[:, 0] > 0].T
    return float((count * np.abs(accuracy - confidence)).sum() / count.sum())


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What a run recorded of its T optimisation steps.

    ``min_norms`` has, by encoder, the norm of the shortest convex combination of the encoder's gradients, ``(T,)``,
    and NaN where a step had none; ``seconds`` the time ``(T,)`` of Gramian, formula and combination, all encoders
    together. A norm below ``stationarity`` counts as 0.
    """

    min_norms: Mapping[str, Floats]
    seconds: Floats | None
    stationarity: float


# -- classification ------------------------------------------------------------------------------------------


@metric(source="classification")
def accuracy(output: Classification) -> float:
    """The share of examples that are predicted right."""
    return float(output.right.mean())


@metric(source="classification", title="macro F1", beside=True)
def macro_f1(output: Classification) -> float:
    """The mean of F1 over the classes that occur among labels or predictions, as in scikit-learn."""
    hits = output.confusion.diagonal()
    # F1 = 2 TP / (2 TP + FP + FN), and the bracket is the number of labels and predictions of the class.
    occurrences = output.confusion.sum(axis=0) + output.confusion.sum(axis=1)
    occurs = occurrences > 0
    return float((2 * hits[occurs] / occurrences[occurs]).mean())


@metric(source="classification", title="ECE", better="lower", beside=True)
def ece(output: Classification) -> float:
    """The expected calibration error. MLB's released code gives logits to its metric; these are probabilities."""
    return calibration_error(output.calibration)


# -- dense outputs -------------------------------------------------------------------------------------------


@metric(source="segmentation", title="mIoU")
def miou(confusion: NDArray[Any]) -> float:
    """The mean intersection over union of the classes that occur (MTAN's code since November 2020)."""
    hits = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    occurs = union > 0
    return float((hits[occurs] / union[occurs]).mean())


@metric(source="segmentation")
def pixel_accuracy(confusion: NDArray[Any]) -> float:
    """The share of labelled pixels that are predicted right."""
    return float(confusion.diagonal().sum() / confusion.sum())


@metric(source="depth", unit="depth", better="lower")
def absolute_error(sums: NDArray[Any]) -> float:
    """The mean absolute error over the pixels whose depth is known."""
    return float(sums[0] / sums[2])


@metric(source="depth", unit="ratio", better="lower")
def relative_error(sums: NDArray[Any]) -> float:
    """The mean absolute error relative to the true depth, over the pixels whose depth is known."""
    return float(sums[1] / sums[2])


# -- steps ---------------------------------------------------------------------------------------------------


@metric(source="steps", unit="seconds", better="lower")
def seconds_per_iteration(steps: Steps) -> dict[str, float]:
    """The mean time of one integration of gradients (MMPareto, Table 8)."""
    return {} if steps.seconds is None else {"joint": float(steps.seconds.mean())}


@metric(source="steps", unit="seconds_squared", better="lower")
def seconds_per_iteration_variance(steps: Steps) -> dict[str, float]:
    """The variance over iterations of that time (MMPareto, Table 8)."""
    return {} if steps.seconds is None else {"joint": float(steps.seconds.var())}


@metric(source="steps", unit="iterations", better="lower")
def iterations_to_stationarity(steps: Steps) -> dict[str, float]:
    """The first step at which an encoder is Pareto-stationary (MMPareto, Table 9); absent where none is."""
    reached = {encoder: np.flatnonzero(norms < steps.stationarity) for encoder, norms in steps.min_norms.items()}
    return {encoder: float(places[0]) for encoder, places in reached.items() if len(places) > 0}
