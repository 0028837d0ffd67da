"""What the workflow's rules call, one job each. Hidden from the help: `counterpoise run` and snakemake use them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import (
    DEFAULT_BENCHMARK,
    BenchmarkOption,
    DeviceOption,
    RootOption,
    SetOption,
    data_roots,
    request,
)
from counterpoise.errors import UserError, suggest

app = typer.Typer()

CellArgument = Annotated[str, typer.Argument(help="dataset/model/method-variant.key, as 'plan --cells' lists")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="the run's seed")]


@app.command(hidden=True)
def train(
    cell: CellArgument,
    seed: SeedOption,
    device: DeviceOption = "auto",
    attempt: Annotated[int, typer.Option(help="from 2 on, a run that would fail again is left alone")] = 1,
    log: Annotated[str | None, typer.Option(help="where this output goes, for the note of a failure")] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Train a run; an interrupted one goes on from its saved state. Exit code 1: it failed, 75: interrupted."""
    asked = request(benchmark, settings, root)
    plan = asked.plan()
    from counterpoise.runs.run import run_of

    run = run_of(plan, plan.cell(cell), seed, asked.root)
    from counterpoise.runs.job import run_job
    from counterpoise.runs.remembered import remember

    remember(plan, asked.root)
    job = plan.benchmark.job
    code = run_job(run, device, save_seconds=job.save_seconds, runs_per_gpu=job.runs_per_gpu, attempt=attempt, log=log)
    raise typer.Exit(code)


@app.command(hidden=True)
def measure(
    name: Annotated[str, typer.Argument(help="what is measured, as its file is called: probe.<key>, gradients.<key>")],
    cell: CellArgument,
    seed: SeedOption,
    device: DeviceOption = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Measure a finished run on the weights that it kept: a linear probe for a table, or what a figure needs."""
    asked = request(benchmark, settings, root)
    plan = asked.plan()
    found = plan.cell(cell)
    wanted = None if name == plan.probe_name else plan.measurement(found, name)
    from counterpoise.runs.machine import choose_device
    from counterpoise.runs.run import run_of

    run = run_of(plan, found, seed, asked.root)
    if wanted is None:
        from counterpoise.runs.probe import probe_run

        print(probe_run(run, plan.benchmark.probe, name, choose_device(device)))
    else:
        from counterpoise.runs.measure import measure_run

        print(measure_run(run, wanted.name, wanted.settings, name, choose_device(device)))


@app.command(hidden=True)
def fetch(
    name: str,
    receipt: Annotated[Path | None, typer.Option(help="also write the folder of the files here")] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Fetch a dataset's raw files; NAME is a dataset of the benchmark, with or without its key."""
    from counterpoise.data.fetch import fetch_dataset
    from counterpoise.files import write_json

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    data = plan.dataset(name)
    folder = fetch_dataset(
        data.component,
        data.settings,
        asked.root / "data/raw",
        name=data.name,
        mirror=plan.benchmark.mirror,
        data_roots=data_roots(plan, asked.root),
    )
    if receipt is not None:
        write_json(asked.root / receipt, {"schema": 1, "dataset": data.name, "key": data.key, "folder": str(folder)})
    print(folder)


@app.command(hidden=True)
def prepare(
    name: str,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    workers: Annotated[int | None, typer.Option(help="processes; default: one per core", min=1)] = None,
    root: RootOption = None,
) -> None:
    """Prepare a dataset's arrays; NAME is a dataset of the benchmark, with or without its key."""
    from counterpoise.data.prepare import prepare_dataset

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    data = plan.dataset(name)
    folder = asked.root / data.directory
    roots = data_roots(plan, asked.root)
    prepared = prepare_dataset(
        data.component,
        data.settings,
        asked.root / "data/raw",
        folder,
        data.key,
        source=data.source,
        data_roots=roots,
        workers=workers,
    )
    print(prepared.path)


@app.command("fetch-weights", hidden=True)
def fetch_weights(
    name: str, benchmark: BenchmarkOption = DEFAULT_BENCHMARK, settings: SetOption = None, root: RootOption = None
) -> None:
    """Fetch pretrained weights into data/weights: from the benchmark's mirror, a cache, or the publisher."""
    from counterpoise.data.weights import fetch_weights as fetch_file
    from counterpoise.models.pretrained import PretrainedWeights
    from counterpoise.runs.run import WEIGHTS as FOLDER
    from counterpoise.weights import WEIGHTS

    name = next((known for known, weights in WEIGHTS.items() if weights.file == name), name)
    if name not in WEIGHTS:
        raise UserError(f"fetch-weights: no pretrained weights '{name}'{suggest(name, WEIGHTS)}")
    asked = request(benchmark, settings, root)
    mirror = asked.plan().benchmark.mirror
    caches = PretrainedWeights.default().folders
    print(fetch_file(WEIGHTS[name], asked.root / FOLDER, mirror=mirror, caches=caches))
