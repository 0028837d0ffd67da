"""A table of one's own, of three methods on two datasets, with results made of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from made_results import MadeResults

from counterpoise.papers.own import own_paper
from counterpoise.papers.tables import PaperTable

ROWS = {"One joint loss": "joint", "Uniform baseline": "uniform", "MMPareto": "mmpareto"}


def own_table() -> PaperTable:
    """Return the table: accuracy on one dataset, calibration error, of which less is better, on the other."""
    return PaperTable.model_validate(
        {
            "paper": "own",
            "table": "methods",
            "title": "Methods on my data",
            "section": "",
            "caption": "",
            "unprinted": "a table of one's own",
            "groups": [
                {"id": "mine", "heading": ["My data"], "dataset": "mine"},
                {"id": "yours", "heading": ["Your data"], "dataset": "yours"},
            ],
            "columns": [
                {"id": "mine.accuracy", "title": "accuracy", "metric": "accuracy", "group": "mine"},
                {"id": "yours.ece", "title": "ECE", "metric": "ece", "better": "lower", "group": "yours"},
            ],
            "rows": [{"id": title, "title": title, "method": method} for title, method in ROWS.items()],
        }
    )


def own_study(seeds: Sequence[int] = range(5)) -> MadeResults:
    """Return the table without any finished run."""
    return MadeResults(own_paper([own_table()]), {"methods": {"mine": "mine", "yours": "yours"}}, seeds)


def finish(study: MadeResults, levels: Mapping[str, float], spread: float = 0.005, seed: int = 0) -> MadeResults:
    """Finish every run of the methods in ``levels``, on both datasets, with values around a method's level."""
    rng = np.random.default_rng(seed)
    for method, level in levels.items():
        for dataset in ("mine", "yours"):
            values = level + spread * rng.standard_normal(len(study.layout.seeds))
            study.runs(method, list(values), dataset=dataset)
    return study
