"""The fourth question: does our order of a column's rows agree with the printed one?

And where nothing is printed: which row is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.judging import statistics
from counterpoise.judging.entries import Entry
from counterpoise.judging.level import columns_of


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A column's order against the printed one.

    ``tau`` is Kendall's τ-b of our means with the printed numbers, ``p_value`` its exact two-sided p-value. ``p_best``
    is the share of seeds in which the row that the paper prints as best is ours, too; with ``rows`` equal methods it
    would be one in ``rows``. ``improvement`` is, over all pairs of rows, the chance that a run of the row that is
    printed as better beats one of the other: a half for equal methods.

    In a table of one's own, ``best`` is the row with our best mean, ``p_best`` the share of seeds in which it is best,
    and there is no printed order to agree with.
    """

    paper: str
    table: str
    variant: str
    column: str
    dataset: str
    rows: int
    n: int
    tau: float | None
    p_value: float | None
    best: str
    p_best: float | None
    improvement: float | None
    stand_in: bool
    reason: str = ""


def judge_rankings(entries: Sequence[Entry]) -> list[Ranking]:
    """Return a ranking for each column that has any run, once per variant of the rows that have several."""
    rankings = []
    for column in columns_of(entries).values():
        mine = [entry for entry in column if entry.printed.kind == "number"]
        if any(entry.cell is not None for entry in mine) and column[0].column.group is not None:
            variants = tuple(dict.fromkeys(entry.variant for entry in mine if entry.variant is not None))
            rankings += [_ranking(mine, variant) for variant in variants or (None,)]
    return rankings


def _ranking(entries: Sequence[Entry], variant: str | None) -> Ranking:
    """Return the ranking of one column; ``variant`` stands for the rows that run in several."""
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if entry.row not in chosen or entry.variant == variant:
            chosen[entry.row] = entry
    ranked = [entry for entry in chosen.values() if entry.ours.finished]
    seeds = _common_seeds(ranked)
    left_out = len(chosen) - len(ranked)
    reason = f"{left_out} rows without runs left out" if left_out else ""
    tau = p_value = p_best = improvement = None
    best = ""
    if len(ranked) < 3:
        reason = "fewer than three rows have run"
    elif not seeds:
        reason = "no seed has finished in every row"
    else:
        sign = 1.0 if ranked[0].column.better == "higher" else -1.0
        printed = sign * np.array([entry.printed.value for entry in ranked])
        runs = _runs(ranked, seeds)
        kendall = statistics.kendall(printed, runs.mean(1))
        tau, p_value = (None if np.isnan(number) else number for number in kendall)
        best = ranked[int(printed.argmax())].label
        p_best = best_share(runs, int(printed.argmax()))
        improvement = improvement_probability(printed, runs)
    first = entries[0]
    return Ranking(
        paper=first.table.paper,
        table=first.table.table,
        variant=variant or "",
        column=first.column.id,
        dataset=ranked[0].dataset if ranked else first.dataset,
        rows=len(ranked),
        n=len(seeds),
        tau=tau,
        p_value=p_value,
        best=best,
        p_best=p_best,
        improvement=improvement,
        stand_in=any(entry.stand_in for entry in ranked),
        reason=reason,
    )


def judge_leaders(entries: Sequence[Entry]) -> list[Ranking]:
    """Return, for each column of tables of one's own, the row with the best mean over the seeds that all rows have."""
    return [_leader(column) for column in columns_of(entries).values()]


def _leader(column: Sequence[Entry]) -> Ranking:
    ranked = [entry for entry in column if entry.ours.finished]
    seeds = _common_seeds(ranked)
    best, p_best, reason = "", None, ""
    if len(ranked) < 2:
        reason = "fewer than two rows have run"
    elif not seeds:
        reason = "no seed has finished in every row"
    else:
        runs = _runs(ranked, seeds)
        place = int(runs.mean(1).argmax())
        best, p_best = ranked[place].label, best_share(runs, place)
    first = column[0]
    return Ranking(
        paper=first.table.paper,
        table=first.table.table,
        variant="",
        column=first.column.id,
        dataset=first.dataset,
        rows=len(ranked),
        n=len(seeds),
        tau=None,
        p_value=None,
        best=best,
        p_best=p_best,
        improvement=None,
        stand_in=False,
        reason=reason,
    )


def _common_seeds(entries: Sequence[Entry]) -> list[int]:
    return sorted(set.intersection(*(set(entry.ours.finished) for entry in entries))) if entries else []


def _runs(entries: Sequence[Entry], seeds: Sequence[int]) -> np.ndarray:
    """Return the values of entries of one column, (rows, seeds), higher is better."""
    sign = 1.0 if entries[0].column.better == "higher" else -1.0
    return sign * np.array([[entry.ours.finished[seed] for seed in seeds] for entry in entries])


def best_share(runs: np.ndarray, row: int) -> float:
    """Return the share of seeds in which ``row`` is best of ``runs`` (rows, seeds), ties shared."""
    top = runs == runs.max(0)
    return float((top[row] / top.sum(0)).mean())


def improvement_probability(printed: np.ndarray, runs: np.ndarray) -> float | None:
    """Return the mean over pairs of rows of P(a run of the better-printed row > one of the other), ties a half."""
    chances = [
        float(((a := runs[i][:, None]) > (b := runs[j][None, :])).mean() + 0.5 * (a == b).mean())
        for i in range(len(printed))
        for j in range(len(printed))
        if printed[i] > printed[j]
    ]
    return float(np.mean(chances)) if chances else None
