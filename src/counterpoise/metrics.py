"""Every metric as one function: what it is computed from, its unit, and whether higher or lower is better.

To add a metric, write a function here and decorate it with :func:`metric`. Its first argument says what it is computed
from, which is one of

* ``classification``: :class:`Classification`, the logits and labels of one output;
* ``segmentation``: the confusion matrix ``(C, C)`` of all test pixels, labels down;
* ``depth``: the sums ``(3,)`` of absolute errors, of relative errors, and of known pixels;
* ``history``: :class:`History`, the losses of every epoch;
* ``steps``: :class:`Steps`, what a run recorded of its optimisation steps;
* ``gradients``, ``landscape``: :class:`MeasuredRows`, the measurement of that name on the weights of a finished run;
* ``agreement``: :class:`Agreement`, what a run and the runs of single modalities get right.

A function of the last five returns its values by output (``joint``, or a modality). What it cannot measure is left out
or not a number, and has no row in the results.

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
Source = Literal["classification", "segmentation", "depth", "history", "steps", "gradients", "landscape", "agreement"]
OF_PREDICTIONS: tuple[Source, ...] = ("classification", "segmentation", "depth")
"""Sources whose metrics say how good the predictions of a selected epoch are."""
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
    "loss": Unit(difference="nats"),
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
class History:
    """The evaluated epochs of a run, E of them: ``columns`` are those of its ``history.csv``, each ``(E,)``.

    ``epoch`` is the one that was selected.
    """

    columns: Mapping[str, Floats]
    epoch: int | None


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What a run recorded of its T optimisation steps.

    ``columns`` are those of its ``diagnostics.csv``, ``times`` those of its ``timings.csv``, each ``(T,)``, NaN where a
    step had no such value. A norm below ``stationarity`` counts as 0.
    """

    columns: Mapping[str, Floats]
    times: Mapping[str, Floats]
    stationarity: float

    def by_encoder(self, quantity: str) -> dict[str, Floats]:
        """Return the columns ``<quantity>.<encoder>``, by encoder."""
        prefix = f"{quantity}."
        return {name.removeprefix(prefix): v for name, v in self.columns.items() if name.startswith(prefix)}

    @functools.cached_property
    def cosines(self) -> dict[str, Floats]:
        """The cosine of the joint gradient and the encoder's own unimodal one, by encoder.

        Where the modalities' losses all reach an encoder, they are one objective, called ``unimodal``.
        """
        found = {}
        for name, values in self.columns.items():
            kind, _, pair = name.partition(".joint.")
            objective, _, encoder = pair.partition(".")
            if kind == "cosine" and objective in (encoder, "unimodal"):
                found[encoder] = values
        return found

    @functools.cached_property
    def integration(self) -> Floats | None:
        """The time of Gramian, formula and combination, all encoders together; None where nothing is integrated."""
        parts = [values for name, values in self.times.items() if name.startswith("integration_seconds.")]
        return np.sum(parts, axis=0) if parts and parts[0].size else None


@dataclass(frozen=True, kw_only=True)
class MeasuredRows:
    """The rows of a measurement's file: ``columns`` ``(R,)`` of numbers, and ``encoder``, whose row it is, if any."""

    columns: Mapping[str, Floats]
    encoder: tuple[str, ...] = ()

    def by_encoder(self, column: str) -> dict[str, Floats]:
        """Return the numbers of a column by encoder."""
        rows = np.array(self.encoder)
        return {encoder: self.columns[column][rows == encoder] for encoder in dict.fromkeys(self.encoder)}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Which of N test examples a run gets right, ``(N,)``, and which the run of each modality alone, by modality."""

    joint: NDArray[np.bool_]
    alone: Mapping[str, NDArray[np.bool_]]

    def share(self, case: NDArray[np.bool_]) -> float:
        """Return the share of right predictions among the examples of ``case``; NaN where there are none."""
        return float(self.joint[case].mean()) if case.any() else float("nan")

    @property
    def number_right(self) -> NDArray[np.int64]:
        """How many of the single modalities get an example right, ``(N,)``."""
        return np.sum(list(self.alone.values()), axis=0)


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


# -- history -------------------------------------------------------------------------------------------------


@metric(source="history", unit="loss", better="lower")
def training_loss(history: History) -> dict[str, float]:
    """Each objective's loss on the training data, the mean over all epochs: lower where it falls faster."""
    return {name: float(values.mean()) for name, values in _losses(history).items()}


@metric(source="history", unit="loss", better="lower")
def final_training_loss(history: History) -> dict[str, float]:
    """Each objective's loss on the training data in the last epoch."""
    return {name: float(values[-1]) for name, values in _losses(history).items()}


@metric(source="history", unit="iterations", better="lower")
def steps_to_selected(history: History) -> dict[str, float]:
    """How many optimisation steps the selected epoch ends after."""
    chosen = history.columns["step"][history.columns["epoch"] == history.epoch]
    return {"joint": float(chosen[0])} if len(chosen) == 1 else {}


def _losses(history: History) -> dict[str, Floats]:
    prefix = "train_loss."
    return {
        name.removeprefix(prefix): values
        for name, values in history.columns.items()
        if name.startswith(prefix) and len(values) > 0
    }


# -- steps ---------------------------------------------------------------------------------------------------

FIRST_STEPS = 400
"""How many steps conflicts are counted over: as many as MMPareto draws (Figure 1a)."""


@metric(source="steps", unit="seconds", better="lower")
def seconds_per_iteration(steps: Steps) -> dict[str, float]:
    """The mean time of one integration of gradients (MMPareto, Table 8)."""
    return {} if steps.integration is None else {"joint": float(steps.integration.mean())}


@metric(source="steps", unit="seconds_squared", better="lower")
def seconds_per_iteration_variance(steps: Steps) -> dict[str, float]:
    """The variance over iterations of that time (MMPareto, Table 8)."""
    return {} if steps.integration is None else {"joint": float(steps.integration.var())}


@metric(source="steps", unit="seconds", better="lower")
def seconds_per_step(steps: Steps) -> dict[str, float]:
    """The mean time of a whole step, without what recording takes."""
    times = steps.times.get("step_seconds", np.empty(0))
    return {"joint": float(times.mean())} if times.size else {}


@metric(source="steps", better="lower")
def integration_share(steps: Steps) -> dict[str, float]:
    """The share of a step's time that goes into integrating gradients."""
    whole = seconds_per_step(steps).get("joint", 0.0)
    if steps.integration is None or whole <= 0:
        return {}
    return {"joint": float(steps.integration.mean()) / whole}


@metric(source="steps", unit="iterations", better="lower")
def iterations_to_stationarity(steps: Steps) -> dict[str, float]:
    """The first step at which an encoder is Pareto-stationary (MMPareto, Table 9); absent where none is."""
    return {encoder: float(first) for encoder, first in _first_stationary(steps).items() if first is not None}


@metric(source="steps", better="lower")
def stationarity_share(steps: Steps) -> dict[str, float]:
    """The share of training that is over when an encoder is Pareto-stationary; all of it where it never is."""
    return {
        encoder: 1.0 if first is None else first / len(steps.by_encoder("min_norm")[encoder])
        for encoder, first in _first_stationary(steps).items()
    }


@metric(source="steps", title="min-norm, end over start", unit="ratio", better="lower")
def min_norm_change(steps: Steps) -> dict[str, float]:
    """The norm of the shortest combination of gradients, the mean of the last tenth of steps over the first's."""
    return {
        encoder: _mean(_last_tenth(norms)) / _mean(_first_tenth(norms))
        for encoder, norms in steps.by_encoder("min_norm").items()
        if _mean(_first_tenth(norms)) > 0
    }


@metric(source="steps", better="lower")
def conflicts(steps: Steps) -> dict[str, float]:
    """The share of the first steps in which the joint and the unimodal gradient of an encoder conflict."""
    return {encoder: share_of_conflicts(values[:FIRST_STEPS]) for encoder, values in steps.cosines.items()}


@metric(source="steps", better="lower")
def early_conflicts(steps: Steps) -> dict[str, float]:
    """That share among the first half of these steps."""
    return {
        encoder: share_of_conflicts(first[: (len(first) + 1) // 2])
        for encoder, first in ((encoder, values[:FIRST_STEPS]) for encoder, values in steps.cosines.items())
    }


@metric(source="steps", better="lower")
def later_conflicts(steps: Steps) -> dict[str, float]:
    """That share among the second half of these steps."""
    return {
        encoder: share_of_conflicts(first[(len(first) + 1) // 2 :])
        for encoder, first in ((encoder, values[:FIRST_STEPS]) for encoder, values in steps.cosines.items())
    }


@metric(source="steps", unit="ratio")
def multimodal_weight(steps: Steps) -> dict[str, float]:
    """The mean share of the joint gradient in the weights of an encoder's gradients."""
    found = {}
    for encoder, weights in steps.by_encoder("weight.joint").items():
        every = [v for n, v in steps.columns.items() if n.startswith("weight.") and n.endswith(f".{encoder}")]
        found[encoder] = _mean(weights / np.sum(every, axis=0))
    return found


@metric(source="steps", title="|k − 1|, early", unit="ratio", better="lower")
def early_balancing(steps: Steps) -> dict[str, float]:
    """How far an encoder's coefficient is from 1, in the mean over the first tenth of steps."""
    return {name: _mean(_first_tenth(np.abs(k - 1))) for name, k in steps.by_encoder("coefficient").items()}


@metric(source="steps", title="|k − 1|, late", unit="ratio", better="lower")
def late_balancing(steps: Steps) -> dict[str, float]:
    """How far an encoder's coefficient is from 1, in the mean over the last tenth of steps."""
    return {name: _mean(_last_tenth(np.abs(k - 1))) for name, k in steps.by_encoder("coefficient").items()}


@metric(source="steps", title="smallest k", unit="ratio")
def smallest_coefficient(steps: Steps) -> dict[str, float]:
    """The smallest coefficient that an encoder's gradient was scaled by: 0 would halt it."""
    return {name: float(np.nanmin(k)) for name, k in steps.by_encoder("coefficient").items() if np.isfinite(k).any()}


def share_of_conflicts(cosines: Floats) -> float:
    """Return the share of negative cosines; a step without an angle counts for nothing. NaN where none has one."""
    known = cosines[~np.isnan(cosines)]
    return float((known < 0).mean()) if known.size else float("nan")


def _first_stationary(steps: Steps) -> dict[str, int | None]:
    """Return the first step whose shortest combination of gradients counts as 0, by encoder; None where none does."""
    reached = {
        encoder: np.flatnonzero(norms < steps.stationarity) for encoder, norms in steps.by_encoder("min_norm").items()
    }
    return {encoder: int(places[0]) if len(places) > 0 else None for encoder, places in reached.items()}


def _first_tenth(values: Floats) -> Floats:
    return values[: -(-len(values) // 10)]


def _last_tenth(values: Floats) -> Floats:
    return values[len(values) - -(-len(values) // 10) :]


def _mean(values: Floats) -> float:
    """Return the mean of the numbers among the values; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


# -- gradients over mini-batches at fixed parameters ---------------------------------------------------------


@metric(source="gradients", title="ratio of the mean norms", unit="ratio")
def norm_ratio(batches: MeasuredRows) -> dict[str, float]:
    """The mean norm over mini-batches of the unimodal loss's gradient in an encoder, over that of the joint loss's."""
    unimodal = batches.by_encoder("unimodal")
    return {
        encoder: float(unimodal[encoder].mean() / norms.mean())
        for encoder, norms in batches.by_encoder("multimodal").items()
        if norms.mean() > 0
    }


@metric(source="gradients", title="ratio of the variances of norms", unit="ratio")
def norm_variance_ratio(batches: MeasuredRows) -> dict[str, float]:
    """The variance over mini-batches of the unimodal gradient's norm, over that of the multimodal one's."""
    return _variance_ratios(batches, "unimodal", "multimodal")


@metric(source="gradients", title="k, ratio of covariances", unit="ratio")
def covariance_ratio(batches: MeasuredRows) -> dict[str, float]:
    """The trace of the unimodal gradient's covariance over mini-batches, over that of the multimodal one's."""
    return {encoder: float(values[0]) for encoder, values in batches.by_encoder("k").items() if len(values) > 0}


@metric(source="gradients", title="ratio of the variances of losses", unit="ratio")
def loss_variance_ratio(batches: MeasuredRows) -> dict[str, float]:
    """The variance over mini-batches of the unimodal loss, over that of the multimodal one."""
    return _variance_ratios(batches, "unimodal_loss", "multimodal_loss")


def variance_ratio(above: Floats, below: Floats) -> float:
    """Return the ratio of two variances (divisor n - 1); NaN below two numbers, and where the second is 0."""
    if len(below) < 2 or below.var(ddof=1) == 0:
        return float("nan")
    return float(above.var(ddof=1) / below.var(ddof=1))


def _variance_ratios(batches: MeasuredRows, above: str, below: str) -> dict[str, float]:
    """Return the ratio of two columns' variances by encoder."""
    lower = batches.by_encoder(below)
    return {encoder: variance_ratio(values, lower[encoder]) for encoder, values in batches.by_encoder(above).items()}


# -- the landscape around a solution -------------------------------------------------------------------------


@metric(source="landscape", unit="ratio", better="lower")
def sharpness(landscape: MeasuredRows) -> dict[str, float]:
    """The largest rise of the loss near the solution, as the measurement defines it."""
    values = landscape.columns["sharpness"]
    return {"joint": float(values[0])} if len(values) > 0 else {}


@metric(source="landscape", unit="loss", better="lower")
def loss_change(landscape: MeasuredRows) -> dict[str, float]:
    """The largest rise of the test loss along a direction, the mean over directions."""
    rises = _changes(landscape, "loss")
    return {"joint": float(np.mean([rise.max() for rise in rises]))} if rises else {}


@metric(source="landscape", better="lower")
def accuracy_change(landscape: MeasuredRows) -> dict[str, float]:
    """The largest fall of the test accuracy along a direction, the mean over directions."""
    falls = _changes(landscape, "accuracy")
    return {"joint": float(np.mean([-fall.min() for fall in falls]))} if falls else {}


def _changes(landscape: MeasuredRows, column: str) -> list[Floats]:
    """Return, for each direction, a column's values less that at the solution: its middle step, of length 0."""
    directions, steps, values = (landscape.columns[name] for name in ("direction", "step", column))
    found = []
    for direction in np.unique(directions):
        own = directions == direction
        found.append(values[own] - values[own][np.abs(steps[own]).argmin()])
    return found


# -- agreement with the models of single modalities ----------------------------------------------------------


@metric(source="agreement", title="right where no modality alone is")
def right_where_none(found: Agreement) -> dict[str, float]:
    """The share of right predictions among examples that every single modality gets wrong (MLB, Figure 4)."""
    return {"joint": found.share(found.number_right == 0)}


@metric(source="agreement", title="right where this modality alone is")
def right_where_only(found: Agreement) -> dict[str, float]:
    """The share of right predictions among examples that one single modality gets right and no other, by modality."""
    return {name: found.share(hits & (found.number_right == 1)) for name, hits in found.alone.items()}


@metric(source="agreement", title="right where all modalities are")
def right_where_all(found: Agreement) -> dict[str, float]:
    """The share of right predictions among examples that every single modality gets right."""
    return {"joint": found.share(found.number_right == len(found.alone))}
