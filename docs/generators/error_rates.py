"""How often the verdicts are wrong and how often they find what is there, by simulated studies.

``python docs/generators/error_rates.py docs/statistics.md`` writes the tables into the document between its two
marks, in some minutes. Everything is drawn from one seed, so the same versions of numpy and scipy give the same tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tabulate import tabulate

from counterpoise.errors import UserError
from counterpoise.files import write_text
from counterpoise.judging import statistics
from counterpoise.judging.claims import Structure
from counterpoise.judging.pattern import f_test
from counterpoise.papers.paper import ClaimTest, Paper, load_paper

SEED = 20240614
STUDIES = 4000
SEEDS = (3, 5, 10)
MARGIN = 2.0
ALPHA = 0.05
BEGIN, END = "<!-- simulated: begin -->", "<!-- simulated: end -->"
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return standard normal draws: what the rules assume."""
    return rng.standard_normal(shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws with heavy tails (Student's t, 5 degrees of freedom), of standard deviation 1."""
    return rng.standard_t(5, shape) / np.sqrt(5 / 3)


def left_tail(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws with an exponential tail to the left, of mean 0 and standard deviation 1."""
    return 1.0 - rng.exponential(size=shape)


def lognormal_left(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws with a lognormal tail to the left (shape 0.75), of mean 0 and standard deviation 1."""
    sigma = 0.75
    mean, std = np.exp(sigma**2 / 2), np.exp(sigma**2 / 2) * np.sqrt(np.exp(sigma**2) - 1)
    return (mean - np.exp(sigma * rng.standard_normal(shape))) / std


def two_modes(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws around two values, of mean 0 and standard deviation 1."""
    return 0.95 * rng.choice([-1.0, 1.0], shape) + np.sqrt(1 - 0.95**2) * rng.standard_normal(shape)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return draws of which one in ten is 10 spreads below the others (spread of those: 1); their mean is 0."""
    return rng.standard_normal(shape) - 10.0 * (rng.random(shape) < 0.1) + 1.0


def shares(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return normal draws rounded to what 744 test examples can show, where 1 is one point."""
    step = 100 / 744
    return np.round(rng.standard_normal(shape) / step) * step


@dataclass(frozen=True, kw_only=True)
class NumberRates:
    """The share of studies with each verdict."""

    within: float
    consistent: float
    deviates: float


def number_rates(
    n: int,
    std: float,
    gap: float,
    one_run: bool = True,
    draw: Draw = normal,
    studies: int = STUDIES,
    paper_std: float = 0.0,
    best_of: int = 1,
    drawn: float = 0.0,
) -> NumberRates:
    """Return how often a printed number gets each verdict.

    Args:
        n: seeds of ours.
        std: standard deviation over seeds, in points, of ours and of the paper's runs.
        gap: how far the paper's value lies from our true mean, in points.
        one_run: whether the printed value is one run around that, or lies there exactly.
        draw: the distribution over seeds.
        paper_std: another standard deviation of the paper's runs; 0: ours.
        best_of: of how many runs the paper prints the best.
        drawn: the sampling error of each of two test sets of one recipe, in points; 0: the test set is the paper's.
    """
    rng = np.random.default_rng(SEED)
    ours = std * draw(rng, (studies, n))
    printed = np.full(studies, gap)
    if one_run:
        printed = printed + (paper_std or std) * draw(rng, (studies, best_of)).max(1)
    if drawn:
        ours, printed = ours + drawn * rng.standard_normal((studies, 1)), printed + drawn * rng.standard_normal(studies)
    # Equal runs would borrow a spread; the tiny one makes them count against the rule instead.
    spread = np.maximum(ours.std(1, ddof=1), statistics.TOLERANCE)
    found = statistics.level_test(ours.mean(1), spread, n, printed, margin=MARGIN, alpha=ALPHA, test_error=drawn)
    within = found.p_equal < ALPHA
    deviates = (found.p_outside < ALPHA) & ~within
    return NumberRates(within=within.mean(), consistent=(~within & ~deviates).mean(), deviates=deviates.mean())


def paper_rates(n: int, std: float, numbers: int = 226, studies: int = STUDIES) -> tuple[float, float, float]:
    """Return, for a paper that is exactly right: mean false ``deviates``, P(any), and P(any) after Holm."""
    rng = np.random.default_rng(SEED)
    ours = std * rng.standard_normal((numbers, studies, n))
    printed = std * rng.standard_normal((numbers, studies))
    found = statistics.level_test(ours.mean(-1), ours.std(-1, ddof=1), n, printed, margin=MARGIN, alpha=ALPHA)
    within = found.p_equal < ALPHA
    wrong = (found.p_outside < ALPHA) & ~within
    corrected = statistics.holm(np.where(within, 1.0, found.p_outside))
    return wrong.sum(0).mean(), wrong.any(0).mean(), ((corrected < ALPHA) & wrong).any(0).mean()


@dataclass(frozen=True, kw_only=True)
class ClaimRates:
    """Shares of studies with any false support and any false refutation; the mean number of claims supported."""

    false_support: float
    false_refutation: float
    supported: float


def claim_rates(
    n: int, std: float, as_printed: bool, draw: Draw = normal, studies: int = 1000, paper: str = "mmpareto"
) -> ClaimRates:
    """Return how often a paper's own claims are answered wrongly and rightly, all of its tables having run.

    Args:
        std: standard deviation over seeds of each row, in printed points.
        as_printed: whether the rows' true means are the printed numbers, or all rows are equal. Where they are equal,
            supporting and refuting are both false, but for claims with a bound.
    """
    data = load_paper(CONFIGS, paper)
    rng = np.random.default_rng(SEED)
    values = {name: _table(data, name, n, std, as_printed, draw, rng, studies) for name in data.tables}
    found, bounded = [], []
    for claim in data.claims:
        p_values = _claim(data, claim.test, values)
        if p_values is not None:
            found.append(p_values)
            bounded.append(claim.test.by > 0 or bool(claim.test.than_columns))
    stacked = np.array(found)  # (claims, 2, studies)
    adjusted = statistics.holm(stacked.reshape(-1, studies)).reshape(stacked.shape)
    support, refute = (adjusted < ALPHA).swapaxes(0, 1)
    free = ~np.array(bounded)  # "better by more than 1.2 points" is rightly refuted where rows are equal
    return ClaimRates(
        false_support=0.0 if as_printed else support[free].any(0).mean(),
        false_refutation=(refute if as_printed else refute[free]).any(0).mean(),
        supported=support.sum(0).mean(),
    )


def _table(
    paper: Paper, name: str, n: int, std: float, as_printed: bool, draw: Draw, rng: np.random.Generator, studies: int
) -> dict[tuple[str, str], Floats]:
    """Return (studies, seeds) values for each printed place; columns of a row go together, depths have their scale."""
    table = paper.table(name)
    found = {}
    for row in table.row_ids:
        shared = draw(rng, (studies, n))
        for column in table.columns:
            printed = table.value(row, column.id).value
            if printed is None or column.metric not in paper.margins:
                continue
            scale = std * paper.margins[column.metric] / MARGIN
            own = draw(rng, (studies, n))
            found[row, column.id] = (printed if as_printed else 0.0) + scale * (
                np.sqrt(0.5) * shared + np.sqrt(0.5) * own
            )
    return found


def _claim(paper: Paper, test: ClaimTest, values: dict[str, dict[tuple[str, str], Floats]]) -> Floats | None:
    """Return a claim's p-values, (2, studies); None of one that is about no printed numbers of rows or columns."""
    p_values, places = [], []
    for name, column, other_column in test.places if test.has_rivals else ():
        table = paper.table(name)
        sign = 1.0 if table.column(column).better == "higher" else -1.0
        if test.kind == "worse":
            sign = -sign
        bound = -test.by if test.kind == "not_worse" else test.by
        for row in test.rows:
            others = [rival for rival in table.row_ids if rival != row] if test.kind == "best_in_column" else [row]
            for rival in test.than or others:
                ours, other = values[name].get((row, column)), values[name].get((rival, other_column))
                if ours is not None and other is not None:
                    p_values.append(statistics.paired_p(sign * (ours - other), bound))
                    places.append(((name, row, column), rival))
    if not p_values:
        return None
    return np.array(Structure.of(test.over, places).p_values(*zip(*p_values, strict=True)))


def example_rates(n: int, ratio: float, studies: int = 600, groups: int = 0) -> tuple[float, float, float]:
    """Return false findings of a difference for new examples: by seeds alone, seeds × examples, and with clusters.

    Two equal rows on 400 examples: ``ratio`` is the standard deviation of the examples' effect on the mean over that
    of the seeds'. ``groups``: the examples' effects are those of so many clusters.
    """
    rng = np.random.default_rng(SEED)
    examples, wrong = 400, np.zeros(3)
    index = np.arange(examples) % groups if groups else np.arange(examples)
    count = groups or examples
    for _ in range(studies):
        effect = ratio * np.sqrt(count) * rng.standard_normal(count)[index]
        # ratio compares with one seed's effect over √n, the seeds' part of the mean's error
        values = np.sqrt(n) * rng.standard_normal((n, 1)) + effect + rng.standard_normal((n, examples))
        seeds = values.mean(1)
        by_seed = 2 * stats.t.sf(abs(seeds.mean()) / (seeds.std(ddof=1) / np.sqrt(n)), n - 1)
        crossed = statistics.crossed_error(values)
        clustered = statistics.crossed_error(values, index)
        wrong += [
            by_seed < ALPHA,
            2 * crossed.tail(abs(seeds.mean()) / crossed.error) < ALPHA,
            2 * clustered.tail(abs(seeds.mean()) / clustered.error) < ALPHA,
        ]
    return tuple(wrong / studies)


def column_rates(n: int, rows: int = 7, studies: int = 2000) -> tuple[float, float, float]:
    """Return how often a pattern of a right paper is called different, a pattern of unrelated orders (spread two sd) is
    found, and a ranking of unrelated orders is called related.
    """
    rng = np.random.default_rng(SEED)
    size = power = related = 0
    for _ in range(studies):
        ours, theirs = rng.standard_normal((rows, n)), rng.standard_normal(rows)
        noise, degrees = ours.var(1, ddof=1).mean() * (1 / n + 1), rows * (n - 1)
        size += f_test(ours.mean(1) - theirs, noise, degrees)[1] < ALPHA
        true, printed = 2 * rng.standard_normal(rows), 2 * rng.standard_normal(rows)
        power += f_test(ours.mean(1) + true - theirs - printed, noise, degrees)[1] < ALPHA
        tau, p_value = statistics.kendall(theirs + printed, ours.mean(1) + true)
        related += p_value < ALPHA and tau > 0
    return size / studies, power / studies, related / studies


@dataclass(frozen=True, kw_only=True)
class PairRates:
    """Shares of studies with a false ``better`` or ``worse``: of one pair by itself, of any, of any after Holm over all
    pairs of a table, and over the pairs of one row that a benchmark adds; and how often a row that is better is found
    to be better than another one, than all others in some column.
    """

    single: float
    any_of_all: float
    after_holm: float
    added: float
    found: float
    best: float


def pair_rates(
    n: int,
    gap: float = 0.0,
    draw: Draw = normal,
    first: Draw | None = None,
    rounded: bool = False,
    rows: int = 8,
    studies: int = STUDIES,
) -> PairRates:
    """Return how often two rows of a table of two columns are told apart, seeds having a spread of one point.

    Args:
        gap: by how many points the first row is better than all others, which are equal.
        draw: the distribution over seeds.
        first: that of the first row, with the same mean as the others'; default: theirs.
        rounded: whether results are shares of 744 examples, so that many of them are equal.
    """
    rng = np.random.default_rng(SEED)
    shape = (2, rows, studies, n)
    values = np.sqrt(0.5) * draw(rng, shape[1:]) + np.sqrt(0.5) * draw(rng, shape)  # columns of a row go together
    if first is not None:
        values[:, 0] = first(rng, (studies, n))
    values[:, 0] += gap
    if rounded:
        values = np.round(values * 744 / 100) * 100 / 744
    pairs = list(combinations(range(rows), 2))
    differences = np.stack([values[:, i] - values[:, j] for i, j in pairs], axis=1)  # (columns, pairs, studies, seeds)
    p_values = statistics.two_sided_p(differences)

    def corrected(family: Floats) -> Floats:
        return statistics.holm(family.reshape(-1, studies)).reshape(family.shape)

    own = np.array([0 in pair for pair in pairs])
    of_all, of_added = corrected(p_values), corrected(p_values[:, own])
    right = (of_all[:, own] < ALPHA) & (differences[:, own].mean(-1) > 0)
    return PairRates(
        single=(p_values[:, own] < ALPHA).mean(),
        any_of_all=(p_values < ALPHA).any((0, 1)).mean(),
        after_holm=(of_all < ALPHA).any((0, 1)).mean(),
        added=(of_added < ALPHA).any((0, 1)).mean(),
        found=right.mean(),
        best=right.all(1).any(0).mean(),
    )


def pair_example_rates(n: int, ratio: float, studies: int, groups: int = 0, rows: int = 5) -> tuple[float, float]:
    """Return how often any pair of equal rows is told apart for new examples, after Holm: seeds alone, and as judged.

    Args: see :func:`example_rates`. Rows have their own effects of examples, and clusters are known.
    """
    rng = np.random.default_rng(SEED)
    examples, wrong = 400, np.zeros(2)
    index = np.arange(examples) % groups if groups else np.arange(examples)
    count = groups or examples
    for _ in range(studies):
        effects = ratio * np.sqrt(count) * rng.standard_normal((rows, 1, count))[..., index]
        values = np.sqrt(n) * rng.standard_normal((rows, n, 1)) + effects + rng.standard_normal((rows, n, examples))
        alone, crossed = [], []
        for i, j in combinations(range(rows), 2):
            difference = values[i] - values[j]
            found = statistics.crossed_error(difference, index)
            alone.append(float(statistics.two_sided_p(difference.mean(1))))
            crossed.append(max(alone[-1], 2 * found.tail(abs(difference.mean()) / found.error)))
        wrong += [statistics.holm(p_values).min() < ALPHA for p_values in (alone, crossed)]
    return tuple(wrong / studies)


def as_markdown(studies: int = STUDIES) -> str:
    """Return the tables of the document."""
    error = 100 * np.sqrt(0.05 * 0.95 / studies)
    parts = [
        f"Rates of numbers are over {studies:,} simulated studies (Monte Carlo standard error of a rate of 5 %: "
        f"{error:.2f} points), margin {MARGIN:g} points, α = 0.05. “sd” is the spread over seeds, in points.",
        "### Numbers: error rates, normal and not",
        number_errors(studies),
        "### Numbers: power",
        number_power(studies),
        "### A whole paper of 226 numbers that is exactly right",
        paper_table(min(studies, 1000)),
        "### Claims of MMPareto, all tables run, one Holm family",
        claim_table(min(studies, 1000)),
        "### New examples: false findings of a difference between equal rows",
        example_table(min(studies, 600)),
        "### Columns of seven rows: patterns and rankings",
        column_table(min(studies, 2000)),
        "### Rows compared with each other: eight rows, two columns, 56 pairs",
        pair_table(studies),
        "### The same where one row is better than all others, sd 1",
        pair_power(studies),
        "### The same for new examples: five equal rows, ten pairs",
        pair_example_table(min(studies, 400)),
    ]
    return "\n\n".join(parts)


def update(path: Path) -> None:
    """Write the tables into ``path`` between its marks."""
    text = Path(path).read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise UserError(f"{path}: must have '{BEGIN}' and '{END}' once each")
    head, _, rest = text.partition(BEGIN)
    write_text(path, f"{head}{BEGIN}\n\n{as_markdown()}\n\n{END}{rest.partition(END)[2]}")


def number_errors(studies: int) -> str:
    """Return the table of false verdicts on numbers."""
    cases = (
        ("normal, sd 0.5", 0.5, {}),
        ("normal, sd 1", 1.0, {}),
        ("normal, sd 2", 2.0, {}),
        ("normal, sd 4", 4.0, {}),
        ("heavy tails, sd 2", 2.0, {"draw": heavy}),
        ("shares of 744, sd 1", 1.0, {"draw": shares}),
        ("exponential left tail, sd 2", 2.0, {"draw": left_tail}),
        ("lognormal left, sd 2", 2.0, {"draw": lognormal_left}),
        ("two modes, sd 2", 2.0, {"draw": two_modes}),
        ("one seed in ten collapses by 10, sd 1", 1.0, {"draw": collapsing}),
        ("another draw of the test set, both sd 0.5", 0.5, {"drawn": 0.5}),
        ("the paper's sd twice ours (1)", 1.0, {"paper_std": 2.0}),
        ("the paper prints its best of 10, sd 1", 1.0, {"best_of": 10}),
    )
    rows = []
    for name, std, more in cases:
        rates = [number_rates(n, std, 0.0, studies=studies, **more).deviates for n in SEEDS]
        ours = {name: value for name, value in more.items() if name in ("draw", "drawn")}
        rates += [number_rates(n, std, MARGIN, one_run=False, studies=studies, **ours).within for n in SEEDS]
        rows.append([name, *map(_percent, rates)])
    head = [f"false `deviates`, n = {n}" for n in SEEDS] + [f"false `within margin`, n = {n}" for n in SEEDS]
    return _table_text(rows, ["seeds", *head])


def number_power(studies: int) -> str:
    """Return the table of what is found."""
    rows = []
    for std in (0.5, 1.0, 2.0):
        for n in SEEDS:
            exact = number_rates(n, std, 0.0, one_run=False, studies=studies).within
            same = number_rates(n, std, 0.0, studies=studies).within
            far = [number_rates(n, std, gap, studies=studies).deviates for gap in (3.0, 5.0, 10.0)]
            rows.append([std, n, *map(_percent, (exact, same, *far))])
    head = ["sd", "n", "within, printed is our mean", "within, printed is a run of ours"]
    return _table_text(rows, [*head, "`deviates`, 3 points off", "5 points off", "10 points off"])


def paper_table(studies: int) -> str:
    """Return the table of false deviations in a whole paper."""
    rows = []
    for std in (1.0, 2.0):
        for n in SEEDS:
            mean, some, corrected = paper_rates(n, std, studies=studies)
            rows.append([std, n, f"{mean:.1f}", _percent(some), _percent(corrected)])
    return _table_text(rows, ["sd", "n", "false `deviates`", "P(any)", "P(exit code 3), after Holm"])


def claim_table(studies: int) -> str:
    """Return the table of a paper's claims."""
    rows = []
    for n in SEEDS:
        equal, tails = claim_rates(n, 1.0, False, studies=studies), claim_rates(n, 1.0, False, collapsing, studies)
        right = [claim_rates(n, std, True, studies=studies).supported for std in (1.0, 2.0)]
        rates = (equal.false_support, equal.false_refutation, tails.false_support, tails.false_refutation)
        rows.append([n, *map(_percent, rates), *(f"{count:.1f}" for count in right)])
    head = ["n", "any false `supported`, rows equal", "any false `refuted`", "`supported`, a seed in ten collapses"]
    more = ["`refuted`, a seed in ten collapses", "supported if the paper is right, sd 1", "sd 2"]
    return _table_text(rows, [*head, *more])


def example_table(studies: int) -> str:
    """Return the table of differences judged for new examples."""
    rows = []
    for n in SEEDS:
        for ratio, groups in ((0.5, 0), (2.0, 0), (2.0, 20)):
            rates = example_rates(n, ratio, studies, groups)
            rows.append([n, ratio, groups or "none", *map(_percent, rates)])
    head = ["n", "examples' sd / seeds'", "clusters", "seeds alone", "seeds × examples", "clustered"]
    return _table_text(rows, head)


def column_table(studies: int) -> str:
    """Return the table of patterns and rankings."""
    rows = [[n, *map(_percent, column_rates(n, studies=studies))] for n in SEEDS]
    head = ["n", "pattern `differs`, paper right", "pattern `differs`, unrelated orders", "ranking related, unrelated"]
    return _table_text(rows, head)


def pair_table(studies: int) -> str:
    """Return the table of false verdicts between rows."""
    cases = (
        ("normal", {}),
        ("heavy tails", {"draw": heavy}),
        ("exponential left tail", {"draw": left_tail}),
        ("shares of 744", {"rounded": True}),
        ("one seed in ten collapses, in every row", {"draw": collapsing}),
        ("one seed in ten collapses, in one row, means equal", {"first": collapsing}),
    )
    rows = []
    for name, more in cases:
        for n in SEEDS:
            rates = pair_rates(n, studies=studies, **more)
            rows.append([name, n, *map(_percent, (rates.single, rates.any_of_all, rates.after_holm, rates.added))])
    head = ["seeds", "n", "one pair, p < 5 %", "any of 56, p < 5 %", "any of 56, after Holm"]
    return _table_text(rows, [*head, "any of an added row's 14, after Holm"])


def pair_power(studies: int) -> str:
    """Return the table of how often a better row is found."""
    rows = []
    for gap in (1.0, 2.0, 4.0):
        for n in SEEDS:
            rates = pair_rates(n, gap, studies=studies)
            rows.append([f"{gap:g}", n, _percent(rates.found), _percent(rates.best)])
    return _table_text(rows, ["better by, points", "n", "better than another row", "than all seven, in a column"])


def pair_example_table(studies: int) -> str:
    """Return the table of false verdicts between rows, for new examples."""
    rows = []
    for n in SEEDS:
        for ratio, groups in ((0.5, 0), (2.0, 0), (2.0, 20)):
            rates = pair_example_rates(n, ratio, studies, groups)
            rows.append([n, ratio, groups or "none", *map(_percent, rates)])
    return _table_text(rows, ["n", "examples' sd / seeds'", "clusters, known", "seeds alone", "as judged"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table_text(rows: list, head: list[str]) -> str:
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    update(Path(sys.argv[1]))
