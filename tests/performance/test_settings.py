"""What a protocol's precision, memory format and threads do to accuracy, over seeds.

Each changes bits; whether it changes results is a question to seeds. The digits' network is trained to the
end with every setting and compared seed by seed with the default.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from measured import Results
from scipy import stats
from small_project import SmallProject

from counterpoise.cli.app import main

pytestmark = pytest.mark.performance

SEEDS = 10
DEFAULT = "fp32, contiguous, one thread"
SETTINGS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "channels last": {"memory_format": "channels_last"},
    "two threads": {"threads": 2},
    "bf16": {"precision": "bf16"},
    "bf16, channels last": {"precision": "bf16", "memory_format": "channels_last"},
}


def accuracies(project: SmallProject, method: str, protocol: str) -> np.ndarray:
    """Train a method with every seed; return the test accuracies after the last epoch, in points."""
    column = {"dataset": "cg_digits", "model": "cg_digits_conv4", "protocol": protocol}
    project.table(columns={"cg_mnist": column})
    cell, benchmark = project.cell(method), str(project.plan().path)
    asked = ["-b", benchmark, "--root", str(project.root)]
    seeds = ",".join(map(str, range(SEEDS)))
    assert main(["train", cell.name, "--seeds", seeds, "--device", "cpu", *asked]) == 0
    return np.array([100 * last_accuracy(project.root / cell.directory / f"seed-{n}") for n in range(SEEDS)])


def last_accuracy(run: Path) -> float:
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["test_accuracy.joint"])


def test_what_settings_do_to_accuracy(results: Results, tmp_path, repository):
    project = SmallProject(tmp_path, repository)
    project.benchmark(seeds=list(range(SEEDS)))
    # The demo's own data: with one colouring of each image its seeds tell nothing apart.
    data = "configs/datasets/cg_digits.yaml"
    project.write(data, (repository / data).read_text(encoding="utf-8"))
    digits = yaml.safe_load((repository / "configs/protocols/digits.yaml").read_text(encoding="utf-8"))
    assert main(["prepare", "cg_digits", "-b", str(project.plan().path), "--root", str(tmp_path)]) == 0
    rows = []
    for method in ("uniform", "mmpareto"):
        found: dict[str, np.ndarray] = {}
        for number, (name, changes) in enumerate(SETTINGS.items()):
            project.write(f"configs/protocols/setting{number}.yaml", digits | changes)
            found[name] = accuracies(project, method, f"setting{number}")
            row = {"method": method, "setting": name, "seeds": SEEDS, "mean": round(found[name].mean(), 2)}
            row |= {"deviation": round(found[name].std(ddof=1), 2)}
            rows.append(row | difference(found[name], found[DEFAULT], name))
    results.series("accuracy", rows)


def difference(own: np.ndarray, default: np.ndarray, name: str) -> dict[str, object]:
    """Return the mean difference seed by seed and its 95 % interval."""
    if name == DEFAULT:
        return {"difference": "", "low": "", "high": ""}
    if np.array_equal(own, default):
        return {"difference": 0.0, "low": 0.0, "high": 0.0}
    interval = stats.ttest_rel(own, default).confidence_interval(0.95)
    mean = float((own - default).mean())
    return {"difference": round(mean, 2), "low": round(interval.low, 2), "high": round(interval.high, 2)}
