"""How often the verdicts are wrong and how often they find what is there, by simulated studies.

``python docs/generators/error_rates.py docs/statistics.md`` writes the tables into the document between its two
marks. Everything is drawn from one seed, so the same versions of numpy and scipy give the same tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from counterpoise.errors import UserError
from counterpoise.files import write_text
from counterpoise.judging import statistics
from counterpoise.judging.claims import combine
from counterpoise.judging.verdicts import Rule, decide

SEED = 20240614
STUDIES = 10000
SEEDS = (3, 5, 10)
MARGIN = 2.0
BEGIN, END = "<!-- simulated: begin -->", "<!-- simulated: end -->"
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return standard normal draws: what the rules assume."""
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws with heavy tails (Student's t, 5 degrees of freedom), of standard deviation 1."""
    return rng.standard_t(5, shape) / np.sqrt(5 / 3)


def shares(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return normal draws rounded to what 744 test examples can show, where 1 is one point."""
    step = 100 / 744
    return np.round(rng.standard_normal(shape) / step) * step


@dataclass(frozen=True, kw_only=True)
class NumberRates:
    """The share of studies with each verdict."""

    reproduced: float
    consistent: float
    deviates: float


def number_rates(
    n: int, std: float, gap: float, one_run: bool = True, draw: Draw = normal, studies: int = STUDIES
) -> NumberRates:
    """Return how often a printed number gets each verdict.

    Args:
        n: seeds of ours.
        std: standard deviation over seeds, in points, of ours and of the paper's runs.
        gap: how far the paper's value lies from our true mean, in points.
        one_run: whether the printed value is one run around that, or lies there exactly.
        draw: the distribution over seeds.
    """
    rng = np.random.default_rng(SEED)
    ours = std * draw(rng, (studies, n))
    printed = gap + (std * draw(rng, (studies,)) if one_run else np.zeros(studies))
    # Equal runs would be 'undecided'; the tiny spread makes them count against the rule instead.
    spread = np.maximum(ours.std(1, ddof=1), statistics.TOLERANCE)
    equivalent, outside = decide(ours.mean(1), spread, n, printed, Rule(margin=MARGIN))
    deviates = outside & ~equivalent
    return NumberRates(
        reproduced=equivalent.mean(), consistent=(~equivalent & ~outside).mean(), deviates=deviates.mean()
    )


@dataclass(frozen=True, kw_only=True)
class ClaimRates:
    """Shares of studies: any false support, any false refutation; the mean share of true claims supported."""

    false_support: float
    false_refutation: float
    power: float


# A made-up table of seven rows and two columns. Claims: the last row is best in both columns; two
# rows are worse than the second, the second is better than the first. Each is (row, rivals, columns, sign).
_CLAIMS = ((6, (0, 1, 2, 3, 4, 5), (0, 1), 1.0), (2, (1,), (0,), -1.0), (3, (1,), (0,), -1.0), (1, (0,), (0,), 1.0))
_ROWS, _COLUMNS = 7, 2


def claim_p_values(values: Floats) -> tuple[Floats, Floats]:
    """Return (claims, studies) p-values for and against, from (studies, rows, columns, seeds) values."""
    found = []
    for row, rivals, columns, sign in _CLAIMS:
        pairs = [sign * (values[:, row, c] - values[:, rival, c]) for c in columns for rival in rivals]
        found.append(combine(*zip(*map(statistics.paired_p, pairs), strict=True), "all"))
    support, refute = zip(*found, strict=True)
    return np.array(support), np.array(refute)


def claim_rates(n: int, effect: float, draw: Draw = normal, studies: int = STUDIES) -> ClaimRates:
    """Return how often a family of four claims is answered wrongly and rightly.

    The first claim holds by ``effect`` standard deviations of a paired difference. Where the effect is
    0, and in the other claims always, the rows are equal, so that both supporting and refuting them is
    false.
    """
    values = _table(np.random.default_rng(SEED), n, effect, draw, studies)
    support, refute = (statistics.holm(p_values) < 0.05 for p_values in claim_p_values(values))
    true = int(effect > 0)
    return ClaimRates(
        false_support=support[true:].any(0).mean(),
        false_refutation=refute.any(0).mean(),
        power=support[:true].sum(0).mean(),
    )


def _table(rng: np.random.Generator, n: int, effect: float, draw: Draw, studies: int) -> Floats:
    """Return (studies, rows, columns, seeds) values of unit paired spread, the last row ahead by ``effect``.

    A seed shifts all its rows alike, and the two columns of a row go together.
    """
    means = np.zeros((_ROWS, 1, 1))
    means[-1] = effect
    shared = draw(rng, (studies, 1, 1, n))
    row, column = draw(rng, (studies, _ROWS, 1, n)), draw(rng, (studies, _ROWS, _COLUMNS, n))
    return means + shared + (np.sqrt(0.9) * row + np.sqrt(0.1) * column) / np.sqrt(2)


def as_markdown(studies: int = STUDIES) -> str:
    """Return the tables of the document."""
    error = 100 * np.sqrt(0.05 * 0.95 / studies)
    parts = [
        f"Each rate is over {studies:,} simulated studies (Monte Carlo standard error of a rate of 5 %: "
        f"{error:.2f} points); margin {MARGIN:g} points, α = 0.05. “sd” is the standard deviation over "
        "seeds, in points.",
        "### Numbers: error rates",
        _number_errors(studies),
        "### Numbers: power",
        _number_power(studies),
        "### Claims: family-wise errors and power",
        _claim_table(studies),
    ]
    return "\n\n".join(parts)


def update(path: Path) -> None:
    """Write the tables into ``path`` between its marks."""
    text = Path(path).read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise UserError(f"{path}: must have '{BEGIN}' and '{END}' once each")
    head, _, rest = text.partition(BEGIN)
    write_text(path, f"{head}{BEGIN}\n\n{as_markdown()}\n\n{END}{rest.partition(END)[2]}")


def _number_errors(studies: int) -> str:
    spreads = (
        ("normal, sd 0.5", 0.5, normal),
        ("normal, sd 1", 1.0, normal),
        ("normal, sd 2", 2.0, normal),
        ("normal, sd 4", 4.0, normal),
        ("heavy tails, sd 2", 2.0, heavy),
        ("shares of 744, sd 1", 1.0, shares),
    )
    rows = []
    for name, std, draw in spreads:
        for n in SEEDS:
            same = number_rates(n, std, 0.0, draw=draw, studies=studies)
            exact = number_rates(n, std, MARGIN, one_run=False, draw=draw, studies=studies)
            noisy = number_rates(n, std, MARGIN, draw=draw, studies=studies)
            rates = (same.deviates, exact.reproduced, noisy.reproduced)
            rows.append([name, n, *map(_percent, rates)])
    head = ["spread over seeds", "n", "false `deviates`", "false `reproduced`", "paper's mean a margin off"]
    return _table_text(rows, head)


def _number_power(studies: int) -> str:
    rows = []
    for std in (0.5, 1.0, 2.0):
        for n in SEEDS:
            exact = number_rates(n, std, 0.0, one_run=False, studies=studies).reproduced
            same = number_rates(n, std, 0.0, studies=studies).reproduced
            far = [number_rates(n, std, gap, studies=studies).deviates for gap in (3.0, 5.0, 10.0)]
            rows.append([std, n, *map(_percent, (exact, same, *far))])
    head = [
        "sd",
        "n",
        "`reproduced`, printed is our mean",
        "`reproduced`, printed is a run of ours",
        "`deviates`, 3 points off",
        "5 points off",
        "10 points off",
    ]
    return _table_text(rows, head)


def _claim_table(studies: int) -> str:
    rows = []
    for n in SEEDS:
        equal = claim_rates(n, 0.0, studies=studies)
        tails = claim_rates(n, 0.0, draw=heavy, studies=studies)
        ahead = [claim_rates(n, effect, studies=studies) for effect in (1.0, 2.0, 4.0)]
        beside = max(rates.false_support for rates in ahead)
        errors = (equal.false_support, equal.false_refutation, tails.false_support, beside)
        rows.append([n, *map(_percent, (*errors, *(rates.power for rates in ahead)))])
    head = [
        "n",
        "any false `supported`, all rows equal",
        "any false `refuted`",
        "`supported`, heavy tails",
        "`supported` beside a true claim",
        "best found, 1 sd ahead",
        "2 sd",
        "4 sd",
    ]
    return _table_text(rows, head)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table_text(rows: list, head: list[str]) -> str:
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    update(Path(sys.argv[1]))
