"""How a verdict is shown: a symbol and a colour, never one of them alone."""

from __future__ import annotations

SYMBOLS = {
    "reproduced": "✓", "consistent": "≈", "undecided": "?", "deviates": "✗", "diverged": "!", "failed": "‼",
    "stand-in": "○", "not run": "·", "not defined": "/", "not printed": "–", "supported": "✓",
    "refuted": "✗", "not tested": "·", "holds on the stand-in": "○✓", "undecided on the stand-in": "○?",
    "does not hold on the stand-in": "○✗",
}  # fmt: skip

COLOURS = {
    "reproduced": "green", "consistent": "blue", "undecided": "yellow", "deviates": "red", "diverged": "red",
    "failed": "red", "stand-in": "yellow", "supported": "green", "refuted": "red",
    "holds on the stand-in": "green", "undecided on the stand-in": "yellow",
    "does not hold on the stand-in": "red",
}  # fmt: skip

MEANINGS = {
    "reproduced": "the printed number is within the declared margin of our mean (TOST)",
    "consistent": "inside the prediction interval for one more run, equivalence not shown",
    "undecided": "too few seeds, or no spread between them, to judge by",
    "deviates": "outside the prediction interval and not shown equivalent",
    "diverged": "a run of it diverged",
    "failed": "every run of it that was tried failed",
    "stand-in": "ran on other data than the paper's, or with another training; not compared",
    "not run": "nothing has run for it; the reason is given",
    "not defined": "the paper leaves the entry open",
    "not printed": "the paper shows it without a number",
}


def marked(verdict: str) -> str:
    """Return a verdict with its symbol."""
    return f"{SYMBOLS[verdict]} {verdict}"
