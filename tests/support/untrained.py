"""Finished runs that were never trained, in a project that Snakemake runs: metrics made of numbers."""

from __future__ import annotations

import json

from miniature import Project

from counterpoise.planning.plan import Cell, Plan

MEASURES = ("accuracy", "macro_f1", "ece")


def finish(project: Project, plan: Plan, cell: Cell, seed: int, accuracy: float) -> None:
    """Write a finished run, all of whose outputs have this accuracy, and its dataset's manifest."""
    folder = project.root / cell.run_directory(seed)
    folder.mkdir(parents=True)
    head = {"schema": 1, "key": cell.key, "seed": seed, "status": "completed"}
    values = dict.fromkeys(MEASURES, accuracy)
    outputs = dict.fromkeys(("joint", *cell.config["model"]["encoders"]), values)
    metrics = {"n_test": 100, "ece_bins": 15, "reason": None, "selections": {"last": {"outputs": outputs}}}
    (folder / "record.json").write_text(json.dumps(head | {"files": {}}))
    (folder / plan.metrics_name).write_text(json.dumps(head | metrics))
    manifest = project.root / cell.data_directory / "manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("{}")
