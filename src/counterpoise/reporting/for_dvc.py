"""What ``dvc metrics show`` and ``dvc plots show`` print and draw of a benchmark (dvc.yaml).

DVC shows one line per file and one column per number in it, so each line of a table gets a file of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from counterpoise.errors import UserError
from counterpoise.files import json_text
from counterpoise.judging.claims import Answer
from counterpoise.judging.compare import Comparison
from counterpoise.judging.verdicts import Verdict
from counterpoise.reporting.outcome import numbers_of
from counterpoise.results.rows import as_csv
from counterpoise.results.run_files import HISTORY
from counterpoise.results.series import read_series
from counterpoise.results.table import Results

FOLDER = "dvc"
CURVES = f"{FOLDER}/curves.csv"


def dvc_texts(results: Results, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return the text of each file for DVC, by its place in the folder of results."""
    texts = {}
    for comparison in comparisons:
        paper = comparison.paper.paper
        numbers = numbers_of(comparison.rows)
        counts = {"compared": numbers.compared}
        counts |= {str(verdict): numbers.count(verdict) for verdict in (Verdict.REPRODUCED, Verdict.DEVIATES)}
        answers = (Answer.SUPPORTED, Answer.REFUTED)
        counts |= {str(answer): sum(claim.answer is answer for claim in comparison.claims) for answer in answers}
        texts[f"{FOLDER}/metrics/{paper}/verdicts.json"] = json_text(counts, sort_keys=False)
        lines: dict[tuple[str, str], dict[str, float]] = {}
        for row in comparison.rows:
            if row.number.mean is not None:
                # A dot would make a level of it.
                column = row.entry.column.id.replace(".", " ")
                lines.setdefault((row.entry.table.table, row.entry.label), {})[column] = round(row.number.mean, 2)
        for (table, label), means in lines.items():
            name = re.sub(r"[^\w+-]+", "_", label).strip("_")
            texts[f"{FOLDER}/metrics/{paper}/{table}/{name}.json"] = json_text(means, sort_keys=False)
    texts[CURVES] = as_csv(("epoch", "method", "curve", "value"), _curves(results))
    return texts


def _curves(results: Results) -> Iterator[dict[str, str]]:
    """Yield, by cell and curve, the mean over the seeds that finished of each epoch of their histories."""
    for name, cell in results.layout.cells.items():
        seeds: dict[str, list[np.ndarray]] = {}
        for run in results.runs_of[name]:
            try:
                history = read_series(results.runs_folder / run.folder / HISTORY) if run.finished else {}
            except UserError:
                continue  # the run's own page says what is wrong with it
            for column, values in history.items():
                if "." in column:  # losses and accuracies, by output
                    seeds.setdefault(column, []).append(values)
        for column, curves in seeds.items():
            epochs = min(map(len, curves))
            means = np.mean([curve[:epochs] for curve in curves], axis=0)
            for epoch, value in enumerate(means):
                if np.isfinite(value):
                    method = f"{cell.method_title} ({cell.variant})"
                    kind = f"{cell.dataset}: {column.replace('_', ' ').replace('.', ' of ')}"
                    yield {"epoch": str(epoch + 1), "method": method, "curve": kind, "value": f"{value:.6g}"}
