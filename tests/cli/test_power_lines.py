"""What ``plan`` says of verdicts rests on spreads that were seen, where any were."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from made_results import MadeResults

from counterpoise.cli.overview import power_lines
from counterpoise.planning.plan import make_plan
from counterpoise.reporting.write import write_derived
from counterpoise.results.table import write_results


@pytest.fixture
def plan(repository):
    return make_plan(repository, repository / "configs/benchmarks/table5.yaml")


def test_without_a_record_spreads_are_assumed(plan, tmp_path):
    lines = power_lines(plan, tmp_path)
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["0.5 points", "1 points", "2 points"]


def test_the_spread_of_a_published_record_of_the_same_table_takes_their_place(plan, tmp_path):
    study = MadeResults("mmpareto", {"table5": {"multi_mnist": "multi_mnist"}}, range(3))
    study.runs("uniform", [0.94, 0.95, 0.96], outputs=("left", "right"))
    folder = tmp_path / "results/published/earlier"
    write_results(study.results, folder)
    write_derived(folder, study.results, [study.compare()], papers={"mmpareto": study.paper})
    spreads = pd.read_csv(folder / "comparison/mmpareto.csv")["std"].dropna()
    lines = power_lines(plan, tmp_path)
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["1 points (as in the record earlier)"]
    assert spreads.median() == pytest.approx(1.0)

    shutil.rmtree(folder)
    assert "record" not in "".join(power_lines(plan, tmp_path))
