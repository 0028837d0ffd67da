"""The benchmark of a paper runs what each of its claims rests on, and every claim gets an answer."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.judging.claims import Answer
from counterpoise.judging.compare import judge
from counterpoise.metrics import METRICS
from counterpoise.planning.plan import make_plan
from counterpoise.results.layout import LayoutValue
from counterpoise.results.table import PROBED, Results, RunEntry, as_table
from counterpoise.runs.layout import layout_of

SEEDS = [0, 1, 2]


@pytest.fixture(scope="module", params=["mmpareto", "mlb"])
def plan(request, repository):
    return make_plan(repository, repository / f"configs/benchmarks/{request.param}.yaml", {"seeds": SEEDS})


def measured_by(plan, place: LayoutValue) -> bool:
    """Whether the runs that fill a place leave what its metric is computed from."""
    column = plan.papers[place.paper].table(place.table).column(place.column)
    source, cell = METRICS[column.measure].source, plan.cell(place.cell)
    measurements = {found.name for found in plan.measured.get(cell.name, ())}
    if source == "steps":
        return cell.config["protocol"]["diagnostics"]
    if source == "agreement":
        same = [c for c in plan.cells if (c.dataset, c.model, c.protocol) == (cell.dataset, cell.model, cell.protocol)]
        alone = {c.config["method"]["settings"].get("modality") for c in same if c.method == "unimodal"}
        return set(cell.config["model"]["encoders"]) <= alone
    return source in ("classification", "segmentation", "depth", "history") or source in measurements


def made_results(plan) -> Results:
    """Return results with a value for each place that the runs can fill."""
    layout, rng = layout_of(plan, plan.path.parent), np.random.default_rng(0)
    rows = {}
    for place in layout.values:
        column = plan.papers[place.paper].table(place.table).column(place.column)
        if place.cell is None or not measured_by(plan, place):
            continue
        cell = layout.cells[place.cell]
        for seed in SEEDS:
            named = cell.model_dump(include={"dataset", "model", "method", "variant", "protocol", "key"})
            selection = PROBED if place.output.startswith("probe:") else layout.selection
        found = {"selection": selection, "output": place.output, "metric": column.measure}
            values = {"seed": seed, "status": "completed", "epoch": 1, "n_test": 100, "value": rng.random()}
            rows[cell.name, seed, *found.values()] = named | found | values
    runs = [RunEntry(cell=name, seed=s, status="completed", n_test=100) for name in layout.cells for s in SEEDS]
    return Results(layout=layout, values=as_table(rows.values()), runs=tuple(runs))


def test_each_claim_of_a_paper_is_answered_by_its_own_benchmark(plan):
    (paper,) = plan.papers.values()
    claims = judge(paper, made_results(plan)).claims
    assert {claim.claim.id for claim in claims} == {claim.id for claim in paper.claims}
    unanswered = {claim.claim.id: claim.reason for claim in claims if claim.answer is Answer.NOT_RUN}
    assert unanswered == {}


def test_what_a_table_asks_to_be_measured_is_measured(plan):
    for place in layout_of(plan, plan.path.parent).values:
        column = plan.papers[place.paper].table(place.table).column(place.column)
        printed = plan.papers[place.paper].table(place.table).value(place.row, place.column)
        if place.cell is not None and printed.kind != "not_applicable" and column.measure in METRICS:
            assert measured_by(plan, place), f"{place.table}, {place.row}, {place.column}"
