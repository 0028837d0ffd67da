"""Commands about records of results: publish, verify, redo."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import DEFAULT_BENCHMARK, BenchmarkOption, DeviceOption, RootOption, SetOption, request

PANEL = "Records"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def redo(
    cell: Annotated[str, typer.Argument(help="dataset/model/method-variant.key, as 'counterpoise trace' prints")],
    seed: Annotated[int, typer.Option(min=0, help="the run's seed")],
    device: DeviceOption = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Train a recorded run once more, aside: does it give the same bits? Exit code 3: it does not."""
    from counterpoise.results.record import read_record
    from counterpoise.runs.redo import differences
    from counterpoise.runs.run import run_of

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    run = run_of(plan, plan.cell(cell), seed, asked.root)
    recorded = read_record(run.folder, run.cell.key, seed)
    from counterpoise.runs.machine import choose_device
    from counterpoise.runs.train import train_run

    (asked.root / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".redo-", dir=asked.root / "work") as scratch:
        # Aside: parents are read where they are, but this run's own folders are scratch ones.
        name = Path(scratch).name
        again = dataclasses.replace(run, runs=Path("work", name, "runs"), work=Path("work", name, "work"))
        train_run(again, choose_device(device))
        lines = differences(recorded, read_record(again.folder, run.cell.key, seed))
    print("\n".join(lines) if lines else "the same, bit for bit: history, predictions and weights")
    raise typer.Exit(3 if lines else 0)
