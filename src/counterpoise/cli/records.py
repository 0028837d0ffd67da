"""Commands about records of results: publish, verify, redo."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterpoise.cli.project import (
    DEFAULT_BENCHMARK,
    BenchmarkOption,
    DeviceOption,
    Request,
    RootOption,
    SetOption,
    find_root,
    project_or_packaged,
    request,
)
from counterpoise.errors import UserError

if TYPE_CHECKING:
    from counterpoise.publication.record import PublishedRecord
    from counterpoise.results.record import RunRecord
    from counterpoise.results.table import RunEntry
    from counterpoise.runs.run import Run

PANEL = "Records"

app = typer.Typer()


def record_folder(name: str, root: Path | None, *, to_write: bool = False) -> Path:
    """Return the folder of a published record; one that is given by its path needs no project around it.

    Outside of any project, a record that is only read may be one that comes with the package.
    """
    from counterpoise.publication.record import find_record

    if Path(name).is_dir():
        _refuse_results(Path(name))
        return find_record(Path(), name)
    return find_record(find_root(root) if to_write else project_or_packaged(root), name)


def _refuse_results(folder: Path) -> None:
    """Refuse a benchmark's own results, which are no record, with the option that means them."""
    from counterpoise.publication.record import MANIFEST
    from counterpoise.results.basis import BASIS

    if (folder / BASIS).is_file() and not (folder / MANIFEST).exists():
        name = folder.resolve().name
        raise UserError(f"{folder}: no published record, but the results of a benchmark: '-b {name}' means them")


def redo_of_record(name: str, run: RunEntry) -> str:
    """Return the command that trains a run of a record once more; the one that made it named what was there then."""
    return shlex.join(["counterpoise", "redo", run.cell, "--seed", str(run.seed), "--record", name])


def _recorded(folder: Path, published: PublishedRecord, cell: str, seed: int) -> RunRecord:
    """Return what a published record has of a run.

    Raises:
        UserError: it has no such run, or no finished one.
    """
    from counterpoise.results.record import RunRecord

    cells = {run.cell for run in published.results.runs}
    if cell not in cells:
        near = difflib.get_close_matches(cell, cells, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(f"{folder}: no cell '{cell}' in this record{hint}")
    of_cell = {run.seed: run for run in published.results.runs if run.cell == cell}
    if seed not in of_cell:
        raise UserError(f"--seed {seed}: {folder} has no such seed; allowed: {', '.join(map(str, sorted(of_cell)))}")
    if not of_cell[seed].record:
        raise UserError(f"{folder}: the run of seed {seed} is {of_cell[seed].status}: there is nothing to compare with")
    return RunRecord.model_validate(of_cell[seed].record)


def _make_ready(asked: Request, run: Run) -> None:
    """Let the workflow make what a run starts from and is not there, as in a clone that trained nothing.

    Raises:
        UserError: it could not be made.
    """
    from counterpoise.cli.run import run_workflow

    missing = [file for file in run.cell.starts_from(run.seed) if not (asked.root / file).exists()]
    if missing and run_workflow(asked, cores="all", profile=None, options=["--", *missing]) != 0:
        raise UserError(f"{run.name}: {', '.join(missing)} could not be made; see the lines above")


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
        wanted = name or request(benchmark, settings, root).plan().benchmark.name
        found = record_folder(wanted, root, to_write=True)
        # A record that stands alone has its own copy of the papers.
        project = found.absolute().parents[len(Path(PUBLISHED).parts)]
        for line in publication.judge_again(found, project / "configs"):
            print(line)
        print(found)
        return
    from counterpoise.cli.derive import current_results
    from counterpoise.runs.explain import collect_written_flips

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    current_results(plan, asked.root)
    flips = collect_written_flips(plan, asked.root)
    done = publication.publish(asked.root, plan.benchmark.name, name, partial=partial, extend=extend, flips=flips)
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
    record: Annotated[
        str | None, typer.Option("--record", "-r", help="a published record, by name or folder: compare with its run")
    ] = None,
    device: DeviceOption = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """Train a recorded run once more, aside: does it give the same bits? Exit code 3: it does not.

    With --record, the run is one of a published record. Its benchmark is that of the record's name, or -b.
    """
    from counterpoise.files import scratch_folder
    from counterpoise.results.record import read_record
    from counterpoise.runs.redo import differences
    from counterpoise.runs.run import run_of

    recorded = None
    if record is not None:
        from counterpoise.publication.record import read_published

        folder = record_folder(record, root)
        published = read_published(folder)
        recorded = _recorded(folder, published, cell, seed)
        layout = published.results.layout
        asked = request(layout.name if benchmark == DEFAULT_BENCHMARK else benchmark, settings, root)
        asked = dataclasses.replace(asked, overrides={**layout.overrides, **asked.overrides})
        plan = asked.plan()
        if cell not in {found.name for found in plan.cells}:
            made = f" (commit {published.manifest.commit})" if published.manifest.commit else ""
            raise UserError(
                f"{plan.path}: no cell '{cell}' in this benchmark as it is now: configuration or source are others "
                f"than those of {folder}{made}; a clone at that commit can redo it"
            )
    else:
        asked = request(benchmark, settings, root)
        plan = asked.plan()
    run = run_of(plan, plan.cell(cell), seed, asked.root)
    if recorded is None:
        recorded = read_record(run.folder, run.cell.key, seed)
    _make_ready(asked, run)
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
