"""Everything that a benchmark's report rests on, made in one process: data, runs, probes and measurements.

The workflow starts a process for every job, and most of a tiny job is its start. Here the functions that the commands
``train`` and ``measure`` call are called job after job, so that both papers can be trained in a test::

    python one_process.py <project> <benchmark> KEY=VALUE...
"""

from __future__ import annotations

import sys
from pathlib import Path

from counterpoise.cli.app import main
from counterpoise.planning.benchmark import parse_overrides
from counterpoise.planning.plan import make_plan
from counterpoise.runs.changed import made_of
from counterpoise.runs.job import DONE, run_job
from counterpoise.runs.machine import choose_device
from counterpoise.runs.measure import measure_run
from counterpoise.runs.probe import probe_run
from counterpoise.runs.remembered import remember
from counterpoise.runs.run import run_of


def make(root: Path, benchmark: str, settings: list[str]) -> None:
    """Make every file that the benchmark's report is made of; SystemExit at the first job that fails."""
    plan = make_plan(root, root / benchmark, parse_overrides(settings))
    remember(plan, root)
    options = ["--root", str(root), "--benchmark", benchmark, *(f"--set={setting}" for setting in settings)]
    for data in plan.datasets:
        name = data.directory.name
        _done(main(["fetch", name, "--receipt", f"data/raw/{name}.json", *options]), f"fetch {name}")
        _done(main(["prepare", name, *options]), f"prepare {name}")
    device = choose_device("cpu")
    for cell in plan.cells:  # what a cell's runs start from comes before it
        for seed in plan.seeds:
            run = run_of(plan, cell, seed, root)
            _done(run_job(run, "cpu", save_seconds=plan.benchmark.job.save_seconds), f"train {run.name}")
            for name in made_of(plan, cell):
                name, _, suffix = name.rpartition(".")
                if suffix == "json":
                    probe_run(run, plan.benchmark.probe, name, device)
                elif suffix == "csv":
                    wanted = plan.measurement(cell, name)
                    measure_run(run, wanted.name, wanted.settings, name, device)


def _done(code: int, job: str) -> None:
    if code != DONE:
        raise SystemExit(f"{job}: exit code {code}")


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
