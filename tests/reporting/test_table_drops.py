"""Our own numbers get the arrow that the paper sets: below the uniform baseline, in the rows under it."""

from __future__ import annotations

import pytest
from made_results import MadeResults

from counterpoise.reporting.tables.formats import as_latex, as_markdown
from counterpoise.reporting.tables.view import view_table

MEANS = {
    "uniform": (0.80, 0.70),
    "conventional_pareto": (0.81, 0.69),
    "gradnorm": (0.79, 0.71),
    "pcgrad": (0.80001, 0.70),
    "metabalance": (0.90, 0.60),
    "mmpareto": (0.85, 0.75),
}


def drops(made: MadeResults, table: str) -> dict[tuple[str, str], bool]:
    view = view_table(made.results, made.compare(), table)
    return {
        (line.id, column.id): cell.drop
        for line in view.lines
        for column, cell in zip(view.columns, line.cells, strict=True)
    }


@pytest.fixture
def made():
    made = MadeResults("mmpareto", {"table5": {"multi_mnist": "multi_mnist"}})
    for method, (left, right) in MEANS.items():
        for seed in (0, 1, 2):
            made.run(made.cell(method), seed, {"left": left, "right": right})
    return made


def test_means_below_the_uniform_baseline_have_an_arrow_and_no_others(made):
    marked = {place for place, drop in drops(made, "table5").items() if drop}
    assert marked == {
        ("Conv Pareto", "multi_mnist.accuracy_right"),
        ("GradNorm", "multi_mnist.accuracy_left"),
        ("MetaBalance", "multi_mnist.accuracy_right"),
    }


def test_the_arrow_stands_behind_the_number_in_every_format_and_is_explained(made):
    view = view_table(made.results, made.compare(), "table5")
    assert "69.00 ± 0.00↓ [77.04↓]" in as_markdown(view)
    assert r"69.00 $\pm$ 0.00$\downarrow$" in as_latex(view)
    assert r"69.00$\downarrow$" in as_latex(view.in_style("paper"))
    assert any("↓: a mean below that of 'Uniform baseline', in print and in ours" in note for note in view.notes)


def test_rows_above_the_baseline_have_no_arrow():
    made = MadeResults("mmpareto", {"table1": {"crema_d": "crema_d"}})
    for method, share in (("joint", 0.5), ("uniform", 0.6), ("agm", 0.5), ("mmpareto", 0.7)):
        made.runs(method, [share] * 3, outputs=("joint", "audio", "visual", "probe:audio", "probe:visual"))
    marked = {row for (row, _), drop in drops(made, "table1").items() if drop}
    assert marked == {"AGM"}


def test_a_table_whose_paper_marks_no_drops_has_none():
    made = MadeResults("mmpareto", {"table3": {"cg_mnist": "cg_mnist"}})
    for method, share in (("uniform", 0.6), ("mmpareto", 0.5)):
        made.runs(method, [share] * 3)
    assert not any(drops(made, "table3").values())


def test_nothing_is_marked_before_the_baseline_has_run():
    made = MadeResults("mmpareto", {"table5": {"multi_mnist": "multi_mnist"}})
    for seed in (0, 1, 2):
        made.run(made.cell("mmpareto"), seed, {"left": 0.1, "right": 0.1})
    assert not any(drops(made, "table5").values())
