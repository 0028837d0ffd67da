"""A method from another package runs through a benchmark and stands in its table beside the others."""

from __future__ import annotations

import csv
import os

import pytest
from miniature import TABLES, Project
from third_party import install_halfway

pytestmark = pytest.mark.slow


def test_a_third_party_method_gets_its_row_in_the_table(tmp_path, repository):
    (tmp_path / "source").mkdir()
    site = install_halfway(tmp_path / "site", tmp_path / "source")
    table = {**TABLES[0], "rows": ["Uniform baseline"], "extra_methods": ["halfway"]}
    project = Project.create(tmp_path / "project", repository, seeds=[0], tables=[table])
    path = os.pathsep.join((str(site), str(repository / "src")))
    assert project.run(PYTHONPATH=path) == 0, project.said()[-4000:]
    with (project.root / "results/miniature/tables/mmpareto/table3.csv").open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["row"] == "Halfway"]
    assert row["cg_mnist.accuracy.n"] == "1"
    assert row["cg_mnist.accuracy.mean"]
