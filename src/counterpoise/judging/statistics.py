"""The statistics of verdicts: small functions, most of them over whole arrays of studies.

Everything is normal theory over seeds: the runs of a cell are independent draws of one normal
distribution. What each test is used for is written down in ``docs/statistics.md``.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

POWER = 0.8
MOST_SEEDS = 1000
RESAMPLES = 2000
TOLERANCE = 1e-9
Floats = NDArray[np.float64]


def prediction_interval(
    mean: ArrayLike, std: ArrayLike, n: ArrayLike, runs: int = 1, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the interval that holds the mean of ``runs`` more runs with probability ``level``.

    ``n`` runs with the given ``mean`` and standard deviation (divisor n − 1) were seen; n must be 2 or more.
    Source: Geisser, Predictive Inference (1993), section 2.
    """
    mean, std, n = (np.asarray(value, float) for value in (mean, std, n))
    half = stats.t.ppf(0.5 + level / 2, n - 1) * std * np.sqrt(1 / n + 1 / runs)
    return mean - half, mean + half


def equivalence_p(mean: ArrayLike, std: ArrayLike, n: ArrayLike, target: ArrayLike, margin: float) -> Floats:
    """Return the p-value of TOST (two one-sided t-tests): the true mean is within ``margin`` of ``target``.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987). Equals statsmodels' ``DescrStatsW.ttost_mean``.
    """
    mean, std, n, target = (np.asarray(value, float) for value in (mean, std, n, target))
    error = std / np.sqrt(n)
    above = stats.t.sf((mean - target + margin) / error, n - 1)
    below = stats.t.cdf((mean - target - margin) / error, n - 1)
    return np.maximum(above, below)


def paired_p(differences: ArrayLike, bound: float = 0.0) -> tuple[Floats, Floats]:
    """Return the one-sided p-values that the mean difference is above and that it is below ``bound``.

    ``differences`` has the seeds on its last axis, two or more. An infinite difference is a run that
    diverged: it counts as lost by an unknown amount. Where one occurs, and where all differences are
    equal (no spread to judge by), the exact sign test replaces the paired t-test; a difference equal to
    the bound then counts for neither.
    """
    differences = np.asarray(differences, float) - bound
    n = differences.shape[-1]
    # The tolerance is for shares k/N, whose equal differences come out unequal in the last digits.
    signs_only = ~np.isfinite(differences).all(-1) | (np.ptp(_finite(differences), axis=-1) < TOLERANCE)
    finite = np.where(signs_only[..., None], np.arange(n), differences)  # any spread will do where it is not used
    t = finite.mean(-1) / (finite.std(-1, ddof=1) / math.sqrt(n))
    above = np.where(signs_only, stats.binom.sf((differences > TOLERANCE).sum(-1) - 1, n, 0.5), stats.t.sf(t, n - 1))
    below = np.where(signs_only, stats.binom.sf((differences < -TOLERANCE).sum(-1) - 1, n, 0.5), stats.t.cdf(t, n - 1))
    return above, below


def mean_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Return the t-interval of a mean difference; None below two pairs and where all are equal."""
    differences = np.asarray(differences, float)
    if differences.size < 2 or np.ptp(differences) < TOLERANCE:
        return None
    error = differences.std(ddof=1) / math.sqrt(differences.size)
    half = stats.t.ppf(0.5 + level / 2, differences.size - 1) * error
    return float(differences.mean() - half), float(differences.mean() + half)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted so that comparing each with α keeps the chance of any false rejection below α.

    The family is on the first axis. Source: Holm, Scand. J. Statist. 6 (1979). The same as statsmodels'
    ``multipletests(method="holm")``, for many families at once.
    """
    p_values = np.asarray(p_values, float)
    size = len(p_values)
    order = np.argsort(p_values, axis=0)
    factors = np.arange(size, 0, -1).reshape(-1, *[1] * (p_values.ndim - 1))
    raised = np.maximum.accumulate(np.take_along_axis(p_values, order, 0) * factors, axis=0)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(raised, 1.0), 0)
    return adjusted


def detectable_difference(std: float, n: int, runs: int, alpha: float, power: float = POWER) -> float:
    """Return the smallest true gap to the printed value that the prediction interval finds with ``power``.

    In the units of ``std``. The printed value is taken as the mean of ``runs`` runs with the same spread
    as ours.
    """
    error = std * math.sqrt(1 / n + 1 / runs)
    return error * _shift_found(n - 1, alpha / 2, power)


@functools.cache
def _shift_found(degrees: int, alpha: float, power: float) -> float:
    """Return the shift, in standard errors, that a one-sided t-test finds with ``power``; few n occur."""
    return float(optimize.brentq(lambda shift: _t_power(shift, degrees, alpha) - power, 0.0, 1000.0))


def seeds_to_show_equivalence(
    difference: float, std: float, margin: float, alpha: float, power: float = POWER
) -> int | None:
    """Return how many seeds TOST needs for ``power`` if all stays as seen; None if no number suffices."""
    room = margin - abs(difference)
    if room <= 0:
        return None

    def enough(n: int) -> bool:
        error = std / math.sqrt(n)
        far = _t_power((margin + abs(difference)) / error, n - 1, alpha)
        return _t_power(room / error, n - 1, alpha) + far - 1 >= power

    return _first(enough)


def seeds_to_show_deviation(difference: float, std: float, runs: int, alpha: float, power: float = POWER) -> int | None:
    """Return how many seeds the prediction interval needs for ``power`` at this gap; None if none suffice.

    However many seeds we run, the printed value keeps the spread of its own ``runs`` runs.
    """
    return _first(lambda n: _t_power(abs(difference) / (std * math.sqrt(1 / n + 1 / runs)), n - 1, alpha / 2) >= power)


def seeds_to_show_order(difference: float, std: float, alpha: float, power: float = POWER) -> int | None:
    """Return how many seed pairs a one-sided paired t-test needs for ``power``; None if none suffice."""
    return _first(lambda n: _t_power(abs(difference) * math.sqrt(n) / std, n - 1, alpha) >= power)


def binomial_error(share: float, n: int) -> float:
    """Return the standard error of a share of ``n`` independent test examples (0 at shares 0 and 1)."""
    return math.sqrt(share * (1 - share) / n)


def kendall(printed: ArrayLike, ours: ArrayLike) -> Floats:
    """Return Kendall's τ-b of ``printed`` (rows) with each ranking in ``ours`` (..., rows); NaN if all tie.

    The same number as ``scipy.stats.kendalltau``, for a whole array of resampled rankings at once.
    """
    printed, ours = np.asarray(printed, float), np.asarray(ours, float)
    first, second = np.triu_indices(printed.size, 1)
    a = np.sign(printed[first] - printed[second])
    b = np.sign(ours[..., first] - ours[..., second])
    pairs = np.sqrt((a != 0).sum() * (b != 0).sum(-1).astype(float))
    return np.divide((a * b).sum(-1), pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def kendall_interval(
    printed: ArrayLike, runs: ArrayLike, rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float, float]:
    """Return τ of the printed ranking with that of our means, and its bootstrap interval over seeds.

    ``runs`` is (rows, seeds); a resample draws seeds with replacement, the same ones for every row,
    because runs of one seed share their split and order of examples. Percentile interval, ``RESAMPLES``
    draws.
    """
    runs = np.asarray(runs, float)
    seeds = rng.integers(runs.shape[1], size=(RESAMPLES, runs.shape[1]))
    resampled = kendall(printed, runs[:, seeds].mean(-1).T)
    resampled = resampled[np.isfinite(resampled)]
    tau = float(kendall(printed, runs.mean(-1)))
    if resampled.size == 0:
        return tau, math.nan, math.nan
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    return tau, float(low), float(high)


def _t_power(shift: float, degrees: int, alpha: float) -> float:
    """Return the power of a one-sided t-test at a non-centrality ``shift``."""
    power = stats.nct.sf(stats.t.isf(alpha, degrees), degrees, min(shift, 1000.0))
    # The non-central t underflows to NaN far out, where the power is 1 to many digits.
    return 1.0 if math.isnan(power) else float(power)


def _first(enough) -> int | None:
    """Return the least n from 2 to MOST_SEEDS with ``enough(n)``, which must stay true once it is."""
    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)
