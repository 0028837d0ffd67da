"""The statistics of verdicts: small functions, most of them over whole arrays of studies.

Runs of a cell are taken as independent draws of one normal distribution. What each test is used for, and where that
assumption fails, is written down in ``docs/statistics.md``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

POWER = 0.8
MOST_SEEDS = 1000
TOLERANCE = 1e-9
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LevelTest:
    """How our mean stands to a printed number; arrays over studies.

    ``low`` and ``high`` bound the 95 % prediction interval of the printed number, ``equal_low`` and ``equal_high`` the
    90 % interval of the true difference ours − printed, ``delta`` in the runs, that TOST uses for the ``margin``.
    ``beyond`` is how far the printed number lies outside its interval. ``p_outside`` is two-sided, ``p_equal`` TOST's.
    """

    margin: float
    delta: Floats
    low: Floats
    high: Floats
    beyond: Floats
    equal_low: Floats
    equal_high: Floats
    p_outside: Floats
    p_equal: Floats


def level_test(
    mean: ArrayLike,
    std: ArrayLike,
    n: ArrayLike,
    printed: ArrayLike,
    *,
    margin: float,
    runs: int = 1,
    alpha: float = 0.05,
    degrees: ArrayLike | None = None,
    rounding: float = 0.0,
    printed_std: float | None = None,
    test_error: ArrayLike = 0.0,
) -> LevelTest:
    """Compare the mean of ``n`` runs with a printed mean of ``runs`` runs: prediction interval and TOST.

    Args:
        std: standard deviation of our runs (divisor n − 1), above 0.
        degrees: the degrees of freedom of ``std``; default n − 1.
        rounding: half a unit of the last printed digit: the printed number is anywhere within it.
        printed_std: the paper's own standard deviation over its runs; default: ours.
        test_error: the sampling error of each of two test sets, where ours is another draw than the paper's.

    Sources: Geisser, Predictive Inference (1993), section 2; Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987).
    """
    mean, std, n, printed = (np.asarray(value, float) for value in (mean, std, n, printed))
    degrees = n - 1 if degrees is None else np.asarray(degrees, float)
    own, draws = std**2 / n, 2 * np.asarray(test_error, float) ** 2
    if printed_std is None:
        parts = [(std**2 * (1 / n + 1 / runs), degrees)]
    else:
        theirs = runs - 1 if runs > 1 else np.inf
        parts = [(own, degrees), (np.asarray(printed_std**2 / runs), np.asarray(theirs, float))]
    one_more, our_mean = _Error(*parts, (draws, np.inf)), _Error((own, degrees), (draws, np.inf))
    half, equal_half = one_more.half_width(alpha / 2), our_mean.half_width(alpha)
    delta, low, high = mean - printed, mean - half, mean + half
    gap = np.abs(delta)
    return LevelTest(
        margin=margin,
        delta=delta,
        low=low,
        high=high,
        beyond=np.maximum(low - printed, printed - high),
        equal_low=delta - equal_half - rounding,
        equal_high=delta + equal_half + rounding,
        p_outside=np.minimum(2 * one_more.beyond(np.maximum(gap - rounding, 0.0)), 1.0),
        p_equal=our_mean.beyond(margin - gap - rounding),
    )


class _Error:
    """The error of a mean whose variance has several parts, each a (variance, degrees of freedom).

    In standard errors it is distributed as the parts are, weighted with their variances: the mean of t distributions
    (after Cochran and Cox, 1950). One t distribution with Satterthwaite's degrees of freedom has too light a tail where
    seeds are few and happen to agree: at p = 0.0003, where corrections for many verdicts look, by a factor of up to 40.
    """

    def __init__(self, *parts: tuple[ArrayLike, ArrayLike], total: float | None = None) -> None:
        """``total``: the variance, where it is another one than the sum of the parts."""
        kept = [part for part in parts if np.any(np.asarray(part[0]) > 0)] or parts[:1]
        variances = np.broadcast_arrays(*(np.asarray(variance, float) for variance, _ in kept))
        every = sum(variances)
        self.degrees = [np.asarray(degrees, float) for _, degrees in kept]
        self.weights = [variance / every for variance in variances]
        self.error = np.sqrt(every if total is None else total)

    def beyond(self, distance: ArrayLike) -> Floats:
        """Return the chance of an error of ``distance`` or more, on one side."""
        return self._tail(np.asarray(distance, float) / self.error)

    def half_width(self, chance: float) -> Floats:
        """Return the distance beyond which an error is with a ``chance``, on one side."""
        ends = [special.stdtrit(degrees, 1 - chance) for degrees in self.degrees]
        low, high = np.minimum.reduce(ends) + 0 * self.error, np.maximum.reduce(ends) + 0 * self.error
        for _ in range(50 if len(ends) > 1 else 0):  # bisection, for many numbers at once: to 15 digits
            middle = (low + high) / 2
            far = self._tail(middle) > chance
            low, high = np.where(far, middle, low), np.where(far, high, middle)
        return high * self.error

    def _tail(self, t: Floats) -> Floats:
        parts = zip(self.weights, self.degrees, strict=True)
        return sum(weight * special.stdtr(degrees, -t) for weight, degrees in parts)


def pooled_spread(stds: Iterable[float | None], n: Iterable[int]) -> tuple[float, int]:
    """Return the standard deviation pooled over cells, and its degrees of freedom; a cell below 2 runs has none."""
    known = [(std, runs - 1) for std, runs in zip(stds, n, strict=True) if std is not None]
    spreads, degrees = np.array(known, float).reshape(-1, 2).T
    total = int(degrees.sum())
    return (math.sqrt(float((degrees * spreads**2).sum()) / total) if total else 0.0), total


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of the values; that of all where there are fewer than four."""
    return float(stats.trim_mean(np.asarray(values, float), 0.25))


COLLAPSE_SHARE, COLLAPSE_SPREADS = 0.05, 5.0


def collapsed(values: Mapping[int, float], better: str, scale: float) -> tuple[int, ...]:
    """Return the seeds that collapsed: runs that completed, far worse than the others of their cell.

    The rule: worse than the median of three or more runs by more than a twentieth of the metric's range (5 points) and
    by more than 5 robust standard deviations (1.4826 times the median absolute deviation).
    """
    if len(values) < 3:
        return ()
    numbers = np.array(list(values.values()))
    worse = (np.median(numbers) - numbers) * (1 if better == "higher" else -1)
    spread = 1.4826 * float(np.median(np.abs(numbers - np.median(numbers))))
    least = max(COLLAPSE_SHARE * scale, COLLAPSE_SPREADS * spread)
    return tuple(seed for seed, by in zip(values, worse, strict=True) if by > least)


def paired_p(differences: ArrayLike, bound: float = 0.0) -> tuple[Floats, Floats]:
    """Return the one-sided p-values that the mean difference is above and that it is below ``bound``.

    ``differences`` has the seeds on its last axis, two or more. An infinite difference is a run that diverged: it
    counts as lost by an unknown amount. Where one occurs, and where all differences are equal (no spread to judge by),
    the exact sign test replaces the paired t-test; a difference equal to the bound then counts for neither.
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


def two_sided_p(differences: ArrayLike) -> Floats:
    """Return the two-sided p-values that the mean difference is none; see :func:`paired_p`."""
    above, below = paired_p(differences)
    return np.minimum(1.0, 2 * np.minimum(above, below))


def mean_equivalence_p(differences: ArrayLike, bound: float) -> float:
    """Return the p-value of TOST that the mean difference is within ±``bound``; 1 where it cannot be shown.

    Equals statsmodels' ``ttost_paired``. Differences that are all equal, or infinite, show no spread to judge by.
    """
    differences = np.asarray(differences, float)
    if differences.size < 2 or not np.isfinite(differences).all() or np.ptp(differences) < TOLERANCE:
        return 1.0
    error = differences.std(ddof=1) / math.sqrt(differences.size)
    return float(stats.t.cdf((abs(differences.mean()) - bound) / error, differences.size - 1))


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


def holm_of_known(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values after Holm over those that there are; what was not tested still has none."""
    adjusted = iter(holm([p_value for p_value in p_values if p_value is not None]).tolist())
    return [None if p_value is None else next(adjusted) for p_value in p_values]


def two_digits(value: float) -> str:
    """Return a number with two significant digits and without an exponent: 160, not 1.6e+02."""
    return f"{float(f'{value:.2g}'):g}"


def detectable_difference(std: float, n: int, runs: int, alpha: float) -> float:
    """Return the smallest true gap to the printed value that the prediction interval finds with :data:`POWER`.

    In the units of ``std``. The printed value is taken as the mean of ``runs`` runs with the same spread as ours.
    """
    error = std * math.sqrt(1 / n + 1 / runs)
    return error * _shift_found(n - 1, alpha / 2)


@functools.cache
def _shift_found(degrees: int, alpha: float) -> float:
    """Return the shift, in standard errors, that a one-sided t-test finds with :data:`POWER`; few n occur."""
    return float(optimize.brentq(lambda shift: _t_power(shift, degrees, alpha) - POWER, 0.0, 1000.0))


def seeds_to_show_equivalence(difference: float, std: float, margin: float, alpha: float) -> int | None:
    """Return how many seeds TOST needs for :data:`POWER` if all stays as seen; None if no number suffices."""
    room = margin - abs(difference)
    if room <= 0:
        return None

    def enough(n: int) -> bool:
        error = std / math.sqrt(n)
        far = _t_power((margin + abs(difference)) / error, n - 1, alpha)
        return _t_power(room / error, n - 1, alpha) + far - 1 >= POWER

    return _first(enough)


def seeds_to_show_deviation(difference: float, std: float, runs: int, alpha: float) -> int | None:
    """Return how many seeds the prediction interval needs for :data:`POWER` at this gap; None if none suffice.

    However many seeds we run, the printed value keeps the spread of its own ``runs`` runs.
    """
    return _first(lambda n: _t_power(abs(difference) / (std * math.sqrt(1 / n + 1 / runs)), n - 1, alpha / 2) >= POWER)


def seeds_to_show_order(difference: float, std: float, alpha: float) -> int | None:
    """Return how many seed pairs a one-sided paired t-test needs for :data:`POWER`; None if none suffice."""
    return _first(lambda n: _t_power(abs(difference) * math.sqrt(n) / std, n - 1, alpha) >= POWER)


def spread_range(n: int) -> tuple[float, float]:
    """Return the factors within which the true variance is, by 80 %, of one estimated from ``n`` normal draws."""
    low, high = stats.chi2.ppf([0.1, 0.9], n - 1)
    return float((n - 1) / high), float((n - 1) / low)


def binomial_error(share: float, n: int) -> float:
    """Return the standard error of a share of ``n`` independent test examples (0 at shares 0 and 1)."""
    return math.sqrt(share * (1 - share) / n)


def kendall(printed: ArrayLike, ours: ArrayLike) -> tuple[float, float]:
    """Return Kendall's τ-b of two rankings and the two-sided p-value against unrelated ones, exact without ties."""
    correlation = stats.kendalltau(printed, ours)
    return float(correlation.statistic), float(correlation.pvalue)


@dataclass(frozen=True, kw_only=True)
class CrossedError:
    """The error of a mean over seeds × examples, for new seeds and new examples alike.

    ``floor`` is what no number of seeds removes: the examples' own standard error. ``groups``: how many clusters of
    examples it counts, or how many examples. ``parts`` are the variances by seeds and by examples, each with its
    degrees of freedom.
    """

    mean: float
    error: float
    floor: float
    groups: int
    parts: tuple[tuple[float, int], ...]

    def tail(self, t: float) -> float:
        """Return the chance of a mean of ``t`` standard errors or more where the true one is 0."""
        return float(_Error(*self.parts, total=1.0).beyond(t))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean."""
        half = float(_Error(*self.parts, total=self.error**2).half_width(0.025))
        return self.mean - half, self.mean + half


def crossed_error(values: ArrayLike, groups: ArrayLike | None = None) -> CrossedError:
    """Return the mean of ``values`` (seeds, examples) with its standard error, both of them drawn at random.

    Two-way clustering: the variance by seeds plus that by examples minus that of their crossing, never less than either
    of the first two. ``groups`` (examples,) names what belongs together: one video, one speaker.
    Source: Cameron, Gelbach, Miller, J. Bus. Econ. Stat. 29 (2011).
    """
    values = np.asarray(values, float)
    seeds, examples = values.shape
    mean = float(values.mean())
    centred = values - mean
    by_seed = centred.sum(1)
    _, index = np.unique(np.arange(examples) if groups is None else np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    crossed = np.stack([np.bincount(index, weights=row, minlength=count) for row in centred])  # (S, G)
    size = seeds * examples
    seed_part = float((by_seed**2).sum()) / size**2 * seeds / (seeds - 1)
    group_part = float((crossed.sum(0) ** 2).sum()) / size**2 * count / (count - 1)
    # what is left of a (seed, group) sum after its seed's and its group's own effects
    rest = crossed - crossed.mean(0) - by_seed[:, None] / count
    rest_part = float((rest**2).sum()) / size**2 * (seeds * count) / ((seeds - 1) * (count - 1))
    variance = max(seed_part + group_part - rest_part, seed_part, group_part)
    parts = ((seed_part, seeds - 1), (group_part, count - 1))
    floor = math.sqrt(max(group_part - rest_part, 0.0))
    return CrossedError(mean=mean, error=math.sqrt(variance), floor=floor, groups=count, parts=parts)


def _t_power(shift: float, degrees: int, alpha: float) -> float:
    """Return the power of a one-sided t-test at a non-centrality ``shift``."""
    power = stats.nct.sf(stats.t.isf(alpha, degrees), degrees, min(shift, 1000.0))
    # The non-central t underflows to NaN far out, where the power is 1 to many digits.
    return 1.0 if math.isnan(power) else float(power)


def _first(enough: Callable[[int], bool]) -> int | None:
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
