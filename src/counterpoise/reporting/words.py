"""How a verdict is shown: a symbol and a colour, never one of them alone; and how things are counted."""

from __future__ import annotations

from collections.abc import Sequence

from counterpoise.metrics import METRICS, UNITS

SYMBOLS = {
    "reproduced": "✓",
    "within margin": "±",
    "consistent": "≈",
    "undecided": "?",
    "deviates": "✗",
    "diverged": "!",
    "failed": "‼",
    "not comparable": "≠",
    "stand-in": "○",
    "not judged": "□",
    "not run": "·",
    "not defined": "/",
    "not printed": "–",
    "supported": "✓",
    "refuted": "✗",
    "practically equal": "=",
    "holds on the stand-in": "○✓",
    "practically equal on the stand-in": "○=",
    "undecided on the stand-in": "○?",
    "does not hold on the stand-in": "○✗",
}

COLOURS = {
    "reproduced": "green",
    "within margin": "blue",
    "consistent": "blue",
    "undecided": "yellow",
    "deviates": "red",
    "diverged": "red",
    "failed": "red",
    "not comparable": "yellow",
    "stand-in": "yellow",
    "practically equal": "blue",
    "practically equal on the stand-in": "blue",
    "supported": "green",
    "refuted": "red",
    "holds on the stand-in": "green",
    "undecided on the stand-in": "yellow",
    "does not hold on the stand-in": "red",
}

MEANINGS = {
    "reproduced": "our mean is within the column's margin of the printed number (TOST); most wrong rows are not",
    "within margin": "our mean is within the margin, but so would be most of the other rows' numbers",
    "consistent": "inside the prediction interval for one more run, equivalence not shown",
    "undecided": "no spread between seeds, of this row or another, to judge by",
    "deviates": "outside the prediction interval and not shown equivalent",
    "diverged": "a run of it diverged",
    "failed": "every run of it that was tried failed",
    "not comparable": "other test set, split, features, weights or training than the paper's: its level says nothing",
    "stand-in": "ran on other data than the paper's, or with another training; not compared",
    "not judged": "no margin is declared for the metric (times depend on the machine): shown only",
    "not run": "nothing has run for it; the reason is given",
    "not defined": "the paper leaves the entry open",
    "not printed": "the paper shows it without a number",
}

CLAIM_MEANINGS = {
    "supported": "the seeds show it on this test set, at the level corrected over all claims of the paper",
    "refuted": "the seeds show the opposite, at the corrected level",
    "practically equal": "the difference is shown to be practically none",
    "undecided": "the seeds show neither; how many would is given",
    "holds on the stand-in": "supported, on a stand-in: says nothing about the paper's own numbers",
    "practically equal on the stand-in": "practically equal, on a stand-in",
    "undecided on the stand-in": "undecided, on a stand-in",
    "does not hold on the stand-in": "refuted, on a stand-in: says nothing about the paper's own numbers",
    "not run": "something that it compares has no finished run",
}


def metric_name(metric: str) -> str:
    """Return a metric as one writes it: ``macro F1``, ``pixel accuracy``."""
    return METRICS[metric].title if metric in METRICS else metric.replace("_", " ")


def difference_unit(unit: str) -> str:
    """Return the unit of a difference between two values: percentages differ in points."""
    return UNITS[unit].difference if unit in UNITS else unit


def commit_text(commit: str | None, changed: bool | None) -> str:
    """Return a commit in short, and whether files differed from it."""
    return f"{(commit or 'unknown')[:12]}{' (with changes)' if changed else ''}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 seed``, ``2 seeds``, ``1,200 runs``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def number_text(value: float | None, form: str = ".2f") -> str:
    """Return a number in a format, a dash where there is none."""
    return "–" if value is None else format(value, form)


def spread_text(mean: float | None, std: float | None, decimals: int = 2) -> str:
    """Return ``mean ± std``, the mean alone without a spread, a dash without a mean."""
    if mean is None:
        return "–"
    return f"{mean:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def interval_text(low: float | None, high: float | None, form: str = ".2f") -> str:
    """Return ``low … high``, a dash where there is no interval."""
    return "–" if low is None or high is None else f"{low:{form}} … {high:{form}}"


def listed(parts: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def marked(verdict: str) -> str:
    """Return a verdict with its symbol."""
    return f"{SYMBOLS[verdict]} {verdict}"
