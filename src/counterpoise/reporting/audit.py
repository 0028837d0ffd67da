"""The audit of a paper as Markdown, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from counterpoise.files import write_text
from counterpoise.judging.audit import Check, Finding, audit_paper
from counterpoise.papers.paper import Paper

EXPLANATIONS = {
    Check.GRANULARITY: (
        "An accuracy on N test examples is k/N. Which of the printed percentages can be that, and how likely "
        "are so many by chance? A number that cannot may be an average, come from another test set, or be "
        "misprinted."
    ),
    Check.ROWS: (
        "Whether the accuracies that are no whole fraction come from a few rows. A row whose numbers are not k/N was "
        "not measured like the others: several runs averaged, another test set, or a number from elsewhere."
    ),
    Check.RESOLUTION: (
        "How far the best number of a column is ahead, in test examples and in binomial standard errors of "
        "the difference of two accuracies. Marked where the lead is less than 1.96 of them."
    ),
    Check.DUPLICATES: "Rows of one column with the same number, and how often that happens by chance.",
    Check.COUNTS: "Counts that the text states, against their source.",
    Check.MARKS: "Bold, underline and arrows against the printed numbers.",
}


def write_audit(paper: Paper, root: Path) -> Path:
    """Write ``results/audit/<paper>.md`` under ``root`` and return its path."""
    path = Path(root) / "results" / "audit" / f"{paper.paper}.md"
    write_text(path, as_markdown(paper, audit_paper(paper)))
    return path


def as_markdown(paper: Paper, findings: Sequence[Finding]) -> str:
    """Return the findings as one table per check; notable ones carry a ``*``."""
    parts = [f"# Audit of {paper.short_title}", f"{paper.title} ({paper.venue} {paper.year}). {_INTRODUCTION}"]
    for check in Check:
        found = [finding for finding in findings if finding.check is check]
        parts += [f"## {str(check).capitalize()}", EXPLANATIONS[check], _table(found) if found else "Nothing found."]
    return "\n\n".join(parts) + "\n"


def audit_lines(paper: Paper, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the findings of each check, each with its evidence below: on a terminal a table of them has no room."""
    yield f"Audit of {paper.short_title}. {_INTRODUCTION}"
    for check in Check:
        yield ""
        yield f"{str(check).capitalize()}. {EXPLANATIONS[check]}"
        found = [finding for finding in findings if finding.check is check]
        for finding in found:
            yield f"  {'*' if finding.notable else '-'} {finding.where}: {finding.finding}"
            yield f"      {finding.evidence}"
        if not found:
            yield "  Nothing found."


_INTRODUCTION = (
    "Arithmetic on the printed numbers alone; none of our runs enters. A star marks what differs from what "
    "one would expect; it says nothing about why."
)


def _table(findings: Sequence[Finding]) -> str:
    rows = [["*" if f.notable else "", f.where, f.finding, f.evidence] for f in findings]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(cells, ["", "where", "finding", "evidence"], tablefmt="pipe", disable_numparse=True)
