"""The report of a published record, written anew from its data."""

from __future__ import annotations

from pathlib import Path

from counterpoise.files import atomic_directory
from counterpoise.judging.compare import judge
from counterpoise.publication.explanations import FOLDER
from counterpoise.publication.record import read_published
from counterpoise.reporting.write import START_PAGE, write_derived
from counterpoise.results.explained import read_explanations


def write_pages(folder: Path, home: Path) -> Path:
    """Write tables, figures and pages of the record in ``folder`` to ``home/<name>``; return the start page.

    The pages that came with a record are not opened: who sends a record could have written anything into them.

    Raises:
        UserError: the record cannot be read.
    """
    record = read_published(folder)
    results = record.results
    comparisons = [judge(record.papers[name], results) for name in results.layout.judged]
    explanations = read_explanations(Path(folder) / FOLDER, results.layout.name).values()
    target = Path(home) / results.layout.name
    with atomic_directory(target) as fresh:
        write_derived(fresh, results, comparisons, papers=record.papers, explanations=explanations)
    return target / START_PAGE
