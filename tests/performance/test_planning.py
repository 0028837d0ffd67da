"""How long it takes to plan ten thousand runs, to say how far they are, and to look each of them up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from counterpoise.comparison.status import FINISHED, run_statuses
from counterpoise.spec import identity
from counterpoise.spec.plan import Plan, make_plan

pytestmark = pytest.mark.performance

DATASETS = 290
METHODS = ("joint", "uniform", "conventional_pareto", "gradnorm", "pcgrad", "metabalance", "mmpareto")
SEEDS = 5
RUNS = DATASETS * len(METHODS) * SEEDS
BENCHMARK = "configs/benchmarks/big.yaml"


@pytest.fixture(scope="module")
def root(tmp_path_factory, repository) -> Path:
    """A project with a table of 7 methods on 290 datasets, which differ in how they were drawn."""
    root = tmp_path_factory.mktemp("big")
    shutil.copytree(repository / "configs", root / "configs")
    for path in (root / "configs/benchmarks").glob("*.yaml"):
        path.unlink()

    def write(path: str, data: object) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(yaml.safe_dump(data))

    dataset = yaml.safe_load((root / "configs/datasets/cg_digits.yaml").read_text())
    names = [f"d{number}" for number in range(DATASETS)]
    for number, name in enumerate(names):
        settings = dataset["settings"] | {"generation_seed": number}
        write(f"configs/datasets/{name}.yaml", dataset | {"settings": settings})
    columns = [
        {"id": f"{name}.{metric}", "group": name, "title": metric, "metric": metric}
        for name in names
        for metric in ("accuracy", "macro_f1")
    ]
    printed = {column["id"]: "50.0" for column in columns}
    table = {
        "paper": "big",
        "table": "t",
        "title": "t",
        "section": "1",
        "caption": "c",
        "groups": [{"id": name, "dataset": name, "model": "cg_digits_conv4"} for name in names],
        "columns": columns,
        "rows": [{"id": name, "title": name, "method": name, "values": printed} for name in METHODS],
    }
    paper = yaml.safe_load((root / "configs/papers/mmpareto/paper.yaml").read_text())
    keep = {key: value for key, value in paper.items() if key not in ("figures", "datasets")}
    write("configs/papers/big/paper.yaml", keep | {"paper": "big", "tables": ["t"]})
    write("configs/papers/big/claims.yaml", {"paper": "big", "claims": []})
    write("configs/papers/big/t.yaml", table)
    column = {"model": "cg_digits_conv4", "protocol": "digits"}
    run = {"paper": "big", "table": "t", "columns": {name: {"dataset": name} | column for name in names}}
    write(BENCHMARK, {"name": "big", "title": "Big", "seeds": list(range(SEEDS)), "tables": [run]})
    return root


@pytest.fixture(scope="module")
def planned(root) -> Plan:
    return make_plan(root, root / BENCHMARK)


def test_planning(benchmark, root):
    def plan() -> Plan:
        identity.source_digest.cache_clear()  # as in a process of its own
        identity._source.cache_clear()
        return make_plan(root, root / BENCHMARK)

    found = benchmark.pedantic(plan, rounds=3)
    assert len(found.cells) * len(found.seeds) == RUNS


def test_looking_every_cell_up(benchmark, planned):
    names = [cell.name for cell in planned.cells]
    assert len(benchmark(lambda: [planned.cell(name) for name in names])) == len(planned.cells)


def test_status_of_finished_runs(benchmark, root, planned):
    for cell in planned.cells:
        for seed in planned.seeds:
            folder = root / cell.run_directory(seed)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "predictions.npz").touch()
            record = {
                "schema": 1,
                "key": cell.key,
                "seed": seed,
                "status": "completed",
                "identity": {"config": cell.config, "source": cell.source, "data": cell.data_key},
                "files": {"predictions.npz": ""},
            }
            (folder / "record.json").write_text(json.dumps(record))
    statuses = benchmark.pedantic(lambda: run_statuses(planned, root), rounds=3)
    assert sum(status.state in FINISHED for status in statuses) == RUNS
