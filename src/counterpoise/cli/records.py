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
    from counterpoise.cli.plumbing import cell_to_train
    from counterpoise.runs.record import read_record
    from counterpoise.runs.redo import differences

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    found = plan.cell(cell)
    recorded = read_record(asked.root / found.run_directory(seed), found.key, seed)
    from counterpoise.engine.device import choose_device
    from counterpoise.runs.train import train_cell

    (asked.root / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".redo-", dir=asked.root / "work") as scratch:
        aside = {"directory": Path(scratch, "runs"), "work_directory": Path(scratch, "work")}
        run = dataclasses.replace(cell_to_train(plan, found, asked.root), **aside)
        (folder,) = train_cell(run, [seed], choose_device(device))
        lines = differences(recorded, read_record(folder, found.key, seed))
    print("\n".join(lines) if lines else "the same, bit for bit: history, predictions and weights")
    raise typer.Exit(3 if lines else 0)
