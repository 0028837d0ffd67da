"""Small models: what starting a run costs, and one-thread processes against threads."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from measured import Results, comparison
from sides import Side, sides
from small_project import SmallProject

pytestmark = pytest.mark.performance

MODEL = {
    "title": "Tiny",
    "encoders": {name: {"component": "conv4", "settings": {"channels": 2, "width": 6}} for name in ("gray", "colour")},
    "fusion": {"component": "concat"},
}
PROTOCOL = {"title": "Tiny", "optimiser": {"lr": 0.02}, "epochs": 1, "batch_size": 256}

START = """
import json, sys, time
from pathlib import Path
from counterpoise.cli.app import main
began = time.process_time()
runs = int(sys.argv[1])
seeds = ",".join(map(str, range(runs)))
code = main(["train", sys.argv[2], "--seeds", seeds, "--device", "cpu", "-b", sys.argv[3]])
assert code == 0, code
print(json.dumps({"seconds": time.process_time()}))
"""


def processor_seconds(root: Path, cell: str, benchmark: Path, runs: int) -> float:
    """Return the processor time of a job, from the interpreter's start on, that trains some runs."""
    given = [sys.executable, "-c", START, str(runs), cell, str(benchmark)]
    done = subprocess.run(given, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def test_starting_a_run(results: Results, tmp_path, repository):
    """A job's first run pays for the imports; what each further one pays, an epoch of five small steps included."""
    seeds = 21
    project = SmallProject(tmp_path, repository)
    project.write("configs/models/tiny.yaml", MODEL)
    project.write("configs/protocols/tiny.yaml", PROTOCOL)
    project.table(columns={"cg_mnist": {"dataset": "cg_digits", "model": "tiny", "protocol": "tiny"}})
    project.benchmark(seeds=list(range(seeds)))
    plan = project.plan()
    prepare = [sys.executable, "-m", "counterpoise", "prepare", "cg_digits", "-b", str(plan.path)]
    subprocess.run(prepare, cwd=project.root, check=True, capture_output=True)
    one = processor_seconds(project.root, project.cell("joint").name, plan.path, 1)
    many = processor_seconds(project.root, project.cell("uniform").name, plan.path, seeds)
    further = (many - one) / (seeds - 1)
    rows = {
        "the first run of a job": one,
        "a further run of the job": further,
        "per run, three in a job": (one + 2 * further) / 3,
        "per run, fifty in a job": (one + 49 * further) / 50,
    }
    results.series("start", [{"what": name, "seconds": round(value, 3)} for name, value in rows.items()])


COMMANDS = {
    "counterpoise --help": ["--help"],
    "counterpoise plan, MMPareto in full": ["plan", "-b", "configs/benchmarks/mmpareto.yaml"],
    "counterpoise plan, MLB in full": ["plan", "-b", "configs/benchmarks/mlb.yaml"],
}


def test_commands(results: Results, repository):
    rows = []
    for name, arguments in COMMANDS.items():
        times = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            given = [sys.executable, "-m", "counterpoise", *arguments]
            subprocess.run(given, cwd=repository, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        rows.append({"what": name, "seconds": round(sorted(times)[1], 3)})
    results.series("commands", rows)


WORKER = """
import torch
from scenes import make_method, scene
from sides import serve
from counterpoise.runs.machine import keep_freed_memory
torch.set_num_threads(int(sys.argv[1]))
keep_freed_memory()
serve(scene("cg_mnist", int(sys.argv[2]), channels_last=True).step(make_method("uniform")))
"""
BATCH = 64


def take(workers: Sequence[Side], steps: int) -> float:
    """Return the time that all together need for ``steps`` steps each."""
    start = time.perf_counter()
    for worker in workers:
        worker.begin(steps)
    for worker in workers:
        worker.seconds()
    return time.perf_counter() - start


def test_one_thread_processes_against_threads(results: Results):
    """The same number of samples by one process with a thread per core and by a process per core."""
    cores, steps, rounds = 2, 24, 9
    times: dict[str, list[float]] = {}
    apart = [Side(WORKER, "1", str(BATCH), threads=1) for _ in range(cores)]
    with sides(*apart) as many, sides(Side(WORKER, str(cores), str(BATCH), threads=cores)) as one:
        ways = {
            "a process per core": (many, steps),
            "a thread per core": (one, cores * steps),
            "one thread": (many[:1], cores * steps),
        }
        for _ in range(rounds):
            for name, (workers, each) in ways.items():
                times.setdefault(name, []).append(take(workers, each))
    where = f"uniform on cg_mnist, batch {BATCH}, channels last, {cores} cores, wall time"
    wanted = {"a process per core": 1.2, "one thread": None}
    for name, goal in wanted.items():
        results.add(comparison(name, times, "a thread per core", kind="speed-up", goal=goal, where=where))
    samples = cores * steps * BATCH
    rows = [{"way": n, "samples_per_second": samples / statistics.median(t)} for n, t in times.items()]
    results.series("workers", rows)
