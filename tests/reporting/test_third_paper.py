"""A third paper needs files and no line of source: planned, judged, laid out as tables and drawn as figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invented_paper import add_invented_paper

from counterpoise.errors import UserError
from counterpoise.judging.compare import judge
from counterpoise.metrics import calibration_bins
from counterpoise.papers.paper import load_paper, paper_names
from counterpoise.planning.plan import make_plan
from counterpoise.reporting.write import write_derived
from counterpoise.results.table import Results, RunEntry, as_table, read_results, write_results
from counterpoise.runs.layout import layout_of

# Fractions by method and metric. Seeds 0, 1, 2 have a little more or less: how much differs between methods, since a
# difference that is the same to the last digit in every seed is no sample.
VALUES = {
    ("joint", "accuracy"): 0.800,
    ("joint", "mean_average_precision"): 0.715,
    ("joint", "regret"): 0.40,
    ("uniform", "accuracy"): 0.850,
    ("uniform", "mean_average_precision"): 0.750,
    ("uniform", "regret"): 0.30,
    ("mmpareto", "accuracy"): 0.900,
    ("mmpareto", "mean_average_precision"): 0.730,
    ("mmpareto", "regret"): 0.20,
    ("unimodal", "accuracy"): 0.500,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(repository / "configs", root / "configs")
    add_invented_paper(root)
    return root


@pytest.fixture(scope="module")
def plan(root):
    return make_plan(root, root / "configs/benchmarks/invented.yaml")


def made_results(layout) -> Results:
    rows, details, runs = [], {}, []
    for name, cell in layout.cells.items():
        for seed in layout.seeds:
            named = cell.model_dump(include={"dataset", "model", "method", "variant", "protocol", "key"})
            runs.append(RunEntry(cell=name, seed=seed, status="completed", n_test=100))
            common = {**named, "seed": seed, "status": "completed", "selection": "last", "epoch": 1, "n_test": 100}
            for (method, metric), value in VALUES.items():
                for output in ("joint", "gray") if method == cell.method else ():
                    lower = 0.1 if output == "gray" else 0.0
                    more = (0.0, 0.001, -0.001)[(seed + len(method)) % 3]
                    rows.append({**common, "output": output, "metric": metric, "value": value - lower + more})
            rows.append({**common, "output": "joint", "metric": "ece", "value": 0.05})
            sure = np.linspace(0.2, 1.0, 100)
            details[name, seed, "last", "joint"] = {"reliability": calibration_bins(sure, sure > 0.5, 15)}
    return Results(layout=layout, values=as_table(rows), runs=tuple(runs), details=details)


@pytest.fixture(scope="module")
def derived(root, plan, tmp_path_factory) -> Path:
    """What is derived from the paper's results, read back as they are written."""
    folder = tmp_path_factory.mktemp("derived")
    results = made_results(layout_of(plan, root))
    write_results(results, folder)
    results = read_results(folder)
    paper = load_paper(root / "configs", "invented")
    problems = write_derived(folder, results, [judge(paper, results)], papers={"invented": paper})
    assert problems == []
    return folder


def test_the_paper_is_one_of_the_papers(root):
    assert paper_names(root / "configs") == ["invented", "mlb", "mmpareto"]


def test_its_numbers_are_judged_with_its_own_metrics_and_margins(derived):
    rows = pd.read_csv(derived / "comparison/invented.csv", keep_default_na=False)
    found = rows.set_index(["row", "column"])
    assert list(found.index.get_level_values("column").unique()) == ["digits.accuracy", "digits.map", "digits.regret"]
    assert float(found.loc[("Ours", "digits.map"), "mean"]) == pytest.approx(73.0)
    assert float(found.loc[("Ours", "digits.regret"), "mean"]) == pytest.approx(0.2)
    assert set(found["verdict"]) == {"reproduced"}
    assert list(found.loc["Ours", "margin"]) == [2.0, 1.5, 0.05], "in the unit of each metric"


def test_its_claims_are_tested_in_the_direction_of_its_metrics(derived):
    claims = pd.read_csv(derived / "comparison/invented.claims.csv", keep_default_na=False).set_index("claim")[
        "verdict"
    ]
    assert claims["ours-regrets-less"] == "supported"
    assert claims["ours-is-best"] == "refuted", "its mAP is below the sum of losses, in print as here"


def test_its_table_has_its_layout_and_titles_and_the_arrow(derived):
    text = (derived / "tables/invented/table1.md").read_text()
    assert "| Digits Small Acc" in text
    assert "| Digits Small mAP" in text
    assert "<u>73.0 ± 0.1↓</u> [73.0↓]" in text, "the runner-up of three"
    assert "1.5 for mAP" in text


def test_its_figures_are_drawn(derived):
    folder = derived / "figures/invented"
    assert {path.name for path in folder.iterdir()} == {
        f"figure{number}.{end}" for number in (1, 2, 3, 4) for end in ("csv", "svg", "png", "txt")
    }
    accuracies = pd.read_csv(folder / "figure1.csv").groupby(["method", "axis"])["accuracy"].mean()
    assert accuracies["Ours", "multimodal"] == pytest.approx(90.0)
    assert accuracies["Ours", "unimodal"] == pytest.approx(80.0)
    assert accuracies["Gray alone", "unimodal"] == pytest.approx(40.0)
    assert "Ours, multimodal: 90 ± 0.1 [90.0]" in (folder / "figure1.txt").read_text()
    bars = pd.read_csv(folder / "figure2.csv")
    assert set(bars["metric"]) == {"mean_average_precision"}
    assert bars.groupby("method")["value"].mean()["Ours"] == pytest.approx(73.0)
    assert len(pd.read_csv(folder / "figure3.csv")) == 2 * 101
    assert "101 points" in (folder / "figure3.txt").read_text()


def test_its_report_shows_its_numbers_and_figures(derived):
    assert (
        "A paper that nobody wrote" in (derived / "report/index.html").read_text()
        or "Invented" in (derived / "report/index.html").read_text()
    )
    figures = (derived / "report/figures.html").read_text()
    assert "Gray against all" in figures
    assert "101 points" in figures


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("figures", "kind: scatter", "kind: scater", "unknown figure kind 'scater'; did you mean 'scatter'"),
        ("figures", "unimodal_line: Gray", "unimodal_lin: Gray", "did you mean 'unimodal_line'"),
        ("figures", "start: -1.0", "points: 1", "'points' is 1, must be 2 or more"),
        ("figures", "method: uniform", "method: unifrom", "did you mean 'uniform'"),
        ("table1", "metric: mean_average_precision", "metric: mean_average", "did you mean 'mean_average_precision'"),
        ("paper", "unit: ratio", "unit: ratios", "did you mean 'ratio'"),
    ],
)
def test_a_mistake_in_its_files_is_one_line_with_the_nearest_spelling(tmp_path, repository, file, old, new, said):
    shutil.copytree(repository / "configs", tmp_path / "configs")
    benchmark = add_invented_paper(tmp_path)
    path = tmp_path / f"configs/papers/invented/{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        make_plan(tmp_path, benchmark)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_benchmark_that_names_a_figure_wrongly_is_told_the_nearest(tmp_path, repository):
    shutil.copytree(repository / "configs", tmp_path / "configs")
    benchmark = add_invented_paper(tmp_path)
    benchmark.write_text(benchmark.read_text().replace("figure: figure3}", "figure: figur3}"))
    with pytest.raises(UserError, match=r"invented.yaml: figure invented.figur3: .*did you mean 'figure3'"):
        make_plan(tmp_path, benchmark)
