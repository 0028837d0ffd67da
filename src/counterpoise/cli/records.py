"""Commands about records of results: publish, verify, redo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.project import (
    DEFAULT_BENCHMARK,
    BenchmarkOption,
    DeviceOption,
    RootOption,
    SetOption,
    find_root,
    request,
)

PANEL = "Records"

app = typer.Typer()


def record_folder(name: str, root: Path | None) -> Path:
    """Return the folder of a published record; one that is given by its path needs no project around it."""
    from counterpoise.publication.record import find_record

    return find_record(Path() if Path(name).is_dir() else find_root(root), name)


@app.command(rich_help_panel=PANEL)
def publish(
    name: Annotated[
        str | None, typer.Option(help="the record's folder in results/published; default: the benchmark's name")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="also where runs are missing or failed")] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="keep finished runs of the record that is there and are missing here")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="judge a record anew, without its runs: other rules, changed notes.md")
    ] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Write results/published/<name>: a record of a finished benchmark that anybody can check."""
    from counterpoise.publication import publish as publication
    from counterpoise.results.result_set import PUBLISHED

    if again:
        # A record that has its name is not planned again: it outlives its benchmark file.
        found = record_folder(name or request(benchmark, settings, root).plan().benchmark.name, root)
        # A record that stands alone has its own copy of the papers.
        project = found.absolute().parents[len(Path(PUBLISHED).parts)]
        for line in publication.judge_again(found, project / "configs"):
            print(line)
        print(found)
        return
    from counterpoise.cli.derive import current_results

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    current_results(plan, asked.root)
    done = publication.publish(asked.root, plan.benchmark.name, name, partial=partial, extend=extend)
    print(f"{done.folder}: {done.runs} runs, {done.size / 1e6:.2f} MB; all records {done.total / 1e6:.2f} MB")
    for line in (*(f"left out for size: {kind}" for kind in done.left_out), *done.problems):
        print(line)


@app.command(rich_help_panel=PANEL)
def verify(
    record: Annotated[
        str | None, typer.Argument(help="a published record, by folder or name; default: the benchmark's own results")
    ] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Recompute metrics, verdicts and tables, and compare. Exit code 0: the same, 3: something differs."""
    from counterpoise.publication.verify import verify as recompute

    if record is not None:
        done = recompute(record_folder(record, root))
    else:
        from counterpoise.results.basis import results_folder

        asked = request(benchmark, settings, root)
        done = recompute(results_folder(asked.root, asked.plan().benchmark.name), asked.root / "configs")
    for line in done.lines():
        print(line)
    raise typer.Exit(done.exit_code)


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
    from counterpoise.files import scratch_folder
    from counterpoise.results.record import read_record
    from counterpoise.runs.redo import differences
    from counterpoise.runs.run import run_of

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    run = run_of(plan, plan.cell(cell), seed, asked.root)
    recorded = read_record(run.folder, run.cell.key, seed)
    from counterpoise.runs.machine import choose_device
    from counterpoise.runs.train import train_run

    with scratch_folder(asked.root / "work/redo") as scratch:
        # Aside: parents are read where they are, but this run's own folders are scratch ones.
        aside = scratch.relative_to(asked.root)
        again = dataclasses.replace(run, runs=aside / "runs", work=aside / "work")
        train_run(again, choose_device(device))
        lines = differences(recorded, read_record(again.folder, run.cell.key, seed))
    print("\n".join(lines) if lines else "the same, bit for bit: history, predictions and weights")
    raise typer.Exit(3 if lines else 0)
