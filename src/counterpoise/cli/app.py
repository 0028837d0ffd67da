"""The command line: thin over the library. Nothing heavy is imported until the command that needs it runs."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.errors import UserError

if TYPE_CHECKING:
    from counterpoise.planning.plan import Cell, Plan

DEFAULT_BENCHMARK = Path("configs/benchmarks/digits.yaml")
WEIGHTS_FOLDER = Path("data/weights")
CHOSEN = Path("results/plan/chosen.txt")

# Newer Typers bring a Click of their own, older ones need the real one: the base of usage errors is found.
USAGE_ERROR = typer.BadParameter.__mro__[2]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Regenerate the tables and figures of two papers on balanced multimodal learning, and judge them.",
)

# A group of another layer takes all that follows its name: its module is imported only when it is called.
GROUP: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

BenchmarkOption = Annotated[Path, typer.Option("--benchmark", "-b", help="benchmark file")]
SetOption = Annotated[list[str], typer.Option("--set", help="key=value laid over the benchmark file")]
RootOption = Annotated[Path, typer.Option("--root", help="project folder")]
CellArgument = Annotated[str, typer.Argument(help="dataset/model/method-variant.key, as 'counterpoise plan' lists")]
CellsArgument = Annotated[
    list[str], typer.Argument(help="dataset/model/method-variant.key, as 'counterpoise plan' lists; or several")
]
SeedsOption = Annotated[str | None, typer.Option("--seeds", help="comma-separated; default: the benchmark's")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Whatever is wrong with what was given, or with a file, ends in one line on stderr and exit code 2.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="counterpoise", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _refuse(str(error))
    except USAGE_ERROR as error:
        return _refuse(error.format_message())
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (KeyboardInterrupt, typer.Abort):
        return 130


def _refuse(message: str) -> int:
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


def _plan(root: Path, benchmark: Path, overrides: list[str]) -> Plan:
    """Return the plan; with 'seeds: auto', with the seeds that its cells have by the looks so far."""
    from counterpoise.judging.looks import allot

    return allot(_bare_plan(root, benchmark, overrides), root)


def _bare_plan(root: Path, benchmark: Path, overrides: list[str]) -> Plan:
    """Return the plan for work on runs that are named: no result is looked at."""
    from counterpoise.planning.benchmark import parse_overrides
    from counterpoise.planning.plan import make_plan

    return make_plan(root, root / benchmark, parse_overrides(overrides))


def _seeds(text: str | None, plan: Plan) -> list[int]:
    if text is None:
        return plan.seeds
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise UserError(f"--seeds '{text}': must be whole numbers, 0 or more, with commas between")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds '{text}': must be distinct")
    return seeds


@app.command(add_help_option=False, context_settings=GROUP)
def data(context: typer.Context) -> None:
    """Fetch, prepare and look at datasets on their own; 'counterpoise data --help' lists the commands."""
    from counterpoise.cli.data import app as group

    _hand_over(group, context)


@app.command(add_help_option=False, context_settings=GROUP)
def mirror(context: typer.Context) -> None:
    """Make or check a folder with the datasets' files; 'counterpoise mirror --help' lists the commands."""
    from counterpoise.cli.data import mirror_app as group

    _hand_over(group, context)


def _hand_over(group: typer.Typer, context: typer.Context) -> None:
    code = group(context.args or ["--help"], prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)


@app.command()
def plan(
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
    cells: Annotated[bool, typer.Option("--cells", help="list every cell and the state of its runs")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="train a few steps of what no run is recorded of, aside")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="such as 40h: choose the cells that decide the most claims in it")
    ] = None,
) -> None:
    """Before launch: check the whole configuration; say what would run, what is there, how long it takes."""
    from counterpoise.files import write_text
    from counterpoise.reporting.plan import Before, print_plan
    from counterpoise.runs.budget import parse_budget

    seconds = None if budget is None else parse_budget(budget)
    found = _plan(root, benchmark, overrides)
    measured, notes = _measured(found, root) if measure else ([], [])
    before = Before(_downloads(found, root), measured, notes)
    choice = print_plan(found, root, cells, before, seconds)
    if choice is not None and choice.cells:
        write_text(root / CHOSEN, "".join(f"{name}\n" for name in choice.cells))
        print(f"  to run these: snakemake chosen --cores all --configfile {benchmark}")


def _downloads(plan: Plan, root: Path) -> dict[str, str]:
    from counterpoise.reporting.plan import is_prepared, size_text

    roots = {key: Path(value) for key, value in plan.benchmark.data_roots.items()}
    said = {}
    for data in plan.datasets:
        if is_prepared(data, root):
            continue
        from counterpoise.data.status import to_fetch

        files, size, unknown = to_fetch(data.component, data.settings, root / "data/raw", roots)
        more = f" and {unknown} of unknown size" if unknown else ""
        said[data.name] = f"to fetch: {files} files, {size_text(size)}{more}" if files else "nothing to fetch"
    return said


def _measured(plan: Plan, root: Path) -> tuple[list[Any], list[str]]:
    """Train a few steps of one cell of every dataset, model and method to do that no run is recorded of."""
    from counterpoise.reporting.plan import duration_text, is_prepared, size_text
    from counterpoise.runs.estimate import Recorded, read_recorded
    from counterpoise.runs.status import run_statuses

    known = {(run.dataset, run.model, run.method) for run in read_recorded(root)}
    found, notes = [], []
    for cell in {run.cell.name: run.cell for run in run_statuses(plan, root) if not run.finished}.values():
        names = (cell.dataset, cell.model, cell.method)
        if names in known or cell.parents or not is_prepared(cell.data, root):
            continue
        from counterpoise.engine.device import choose_device
        from counterpoise.runs.trial import try_cell

        known.add(names)
        trial = try_cell(_cell_to_train(plan, cell, root), choose_device("auto"))
        found.append(Recorded(*names, trial.seconds_per_epoch, 0, trial.device))
        whole = trial.seconds_per_epoch * cell.config["protocol"]["epochs"]
        energy = f", {trial.watts * whole / 3.6e6:.3g} kWh at {trial.watts:.0f} W" if trial.watts else ""
        notes.append(
            f"measured {trial.steps} steps of {'/'.join(names)} on {trial.device}: "
            f"{duration_text(whole)} a run, {size_text(trial.peak_memory)} at most{energy}"
        )
    return found, notes


@app.command()
def fetch(
    name: str,
    receipt: Annotated[Path | None, typer.Option(help="also write which files are there, with digests")] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Fetch a dataset's raw files; NAME is a dataset of the benchmark, with or without its key."""
    from counterpoise.data.fetch import fetch_dataset
    from counterpoise.files import write_json

    plan = _bare_plan(root, benchmark, overrides)
    data = _dataset(plan, name)
    roots = {key: Path(value) for key, value in plan.benchmark.data_roots.items()}
    folder = fetch_dataset(
        data.component, data.settings, root / "data/raw", mirror=plan.benchmark.mirror, data_roots=roots
    )
    if receipt is not None:
        write_json(root / receipt, {"schema": 1, "dataset": data.name, "key": data.key, "folder": str(folder)})
    print(folder)


@app.command()
def prepare(
    name: str, benchmark: BenchmarkOption = DEFAULT_BENCHMARK, overrides: SetOption = [], root: RootOption = Path()
) -> None:
    """Prepare a dataset's arrays; NAME is a dataset of the benchmark, with or without its key."""
    from counterpoise.data.prepare import prepare_dataset

    plan = _bare_plan(root, benchmark, overrides)
    data = _dataset(plan, name)
    roots = {key: Path(value) for key, value in plan.benchmark.data_roots.items()}
    prepared = prepare_dataset(
        data.component, data.settings, root / "data/raw", root / data.directory, data.key, data_roots=roots
    )
    print(prepared.path)


def _dataset(plan: Plan, name: str) -> Any:
    from counterpoise.errors import suggest

    for data in plan.datasets:
        if name in (data.name, data.directory.name):
            return data
    for data in (data for cell in plan.flipped.values() for data in (cell.data, *cell.folds)):
        if name == data.directory.name:
            return data
    names = [data.name for data in plan.datasets]
    raise UserError(f"{plan.path}: no dataset '{name}' in this benchmark as it is now{suggest(name, names)}")


@app.command()
def train(
    cells: CellsArgument,
    seeds: SeedsOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")] = "auto",
    attempt: Annotated[int, typer.Option(help="from 2 on, runs that would fail again are left alone")] = 1,
    log: Annotated[str | None, typer.Option(help="where this output goes, for the note of a failure")] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Train the runs of cells; interrupted ones go on where they were. Exit code 1: a run failed, 75:
    interrupted.
    """
    plan = _bare_plan(root, benchmark, overrides)
    found = [plan.cell(cell) for cell in cells]
    chosen = _seeds(seeds, plan)
    from counterpoise.runs.job import run_job

    runs, job = [_cell_to_train(plan, cell, root) for cell in found], plan.benchmark.job
    asked = {"save_seconds": job.save_seconds, "gpu_share": job.gpu_share}
    raise typer.Exit(run_job(runs, chosen, device, **asked, attempt=attempt, log=log))


def _cell_to_train(plan: Plan, cell: Cell, root: Path) -> Any:
    from counterpoise.runs.stages import ParentCell
    from counterpoise.runs.train import CellToTrain

    return CellToTrain(
        dataset=cell.dataset,
        model=cell.model,
        method=cell.method,
        variant=cell.variant,
        protocol=cell.protocol,
        config=cell.config,
        source=cell.source,
        data_key=cell.data_key,
        key=cell.key,
        data_directory=root / cell.data_directory,
        directory=root / cell.directory,
        work_directory=root / "work" / cell.name,
        weights_directory=root / WEIGHTS_FOLDER,
        parents={name: ParentCell(root / parent.directory, parent.key) for name, parent in cell.parents},
        keep_weights=cell.name in plan.keeping,
        folds=tuple(root / fold.directory for fold in cell.folds),
    )


@app.command()
def search(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")] = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Choose what the papers leave open: train the benchmark's candidates on a validation split and print
    the section 'methods' that they speak for.
    """
    from counterpoise.planning.benchmark import parse_overrides
    from counterpoise.search import candidate_plans, chosen_methods, run_search, write_search

    candidates = candidate_plans(root, root / benchmark, parse_overrides(overrides))
    from counterpoise.runs.job import DONE, run_job

    def train(plan: Plan, cell: Cell, seeds: list[int]) -> None:
        job = plan.benchmark.job
        asked = {"save_seconds": job.save_seconds, "gpu_share": job.gpu_share}
        code = run_job([_cell_to_train(plan, cell, root)], seeds, device, **asked)
        if code != DONE:
            raise typer.Exit(code)

    scores = run_search(candidates, root, train)
    print(write_search(candidates, scores, root))
    import yaml

    print(yaml.safe_dump({"methods": chosen_methods(candidates.search, scores)}, sort_keys=False), end="")


@app.command("fetch-weights")
def fetch_weights(
    name: str, benchmark: BenchmarkOption = DEFAULT_BENCHMARK, overrides: SetOption = [], root: RootOption = Path()
) -> None:
    """Fetch pretrained weights into data/weights: from the benchmark's mirror, a cache, or the publisher."""
    from counterpoise.data.weights import fetch_weights as fetch_file
    from counterpoise.errors import suggest
    from counterpoise.models.pretrained import PretrainedWeights
    from counterpoise.weights import WEIGHTS

    if name not in WEIGHTS:
        raise UserError(f"fetch-weights: no pretrained weights '{name}'{suggest(name, WEIGHTS)}")
    mirror = _bare_plan(root, benchmark, overrides).benchmark.mirror
    caches = PretrainedWeights.default().folders
    print(fetch_file(WEIGHTS[name], root / WEIGHTS_FOLDER, mirror=mirror, caches=caches))


@app.command()
def probe(
    cells: CellsArgument,
    seeds: SeedsOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")] = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Train a linear classifier on each frozen encoder of cells' finished runs."""
    plan = _bare_plan(root, benchmark, overrides)
    found = [plan.cell(cell) for cell in cells]
    chosen = _seeds(seeds, plan)
    from counterpoise.engine.device import choose_device
    from counterpoise.runs.probe import probe_run

    for runs in [_cell_to_train(plan, cell, root) for cell in found]:
        for seed in chosen:
            print(probe_run(runs, seed, plan.benchmark.probe, plan.probe_name, choose_device(device)))


@app.command()
def evaluate(
    cells: CellsArgument,
    seeds: SeedsOption = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Compute accuracy, macro-F1 and ECE of cells' runs from their stored predictions."""
    plan = _bare_plan(root, benchmark, overrides)
    found = [plan.cell(cell) for cell in cells]
    chosen = _seeds(seeds, plan)
    from counterpoise.results.evaluate import evaluate_run
    from counterpoise.runs.attempt import WorkFolder

    asked = plan.benchmark.evaluation
    for cell, seed in itertools.product(found, chosen):
        where = (root / cell.run_directory(seed), plan.metrics_name, cell.key, seed)
        print(evaluate_run(*where, asked.ece_bins, plan.probe_of(cell), asked.stationarity))
        WorkFolder(root / "work" / cell.name / f"seed-{seed}").remove()


@app.command()
def table(
    paper: str,
    name: str,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Write a paper's table as Markdown, CSV, LaTeX and HTML."""
    from counterpoise.reporting.tables import write_table

    for path in write_table(_plan(root, benchmark, overrides), root, paper, name):
        print(path)


@app.command()
def figure(
    paper: str,
    name: str,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Write a paper's figure as CSV, and from that as SVG and PNG."""
    from counterpoise.reporting.figures.draw import write_figure

    for path in write_figure(_plan(root, benchmark, overrides), root, paper, name):
        print(path)


@app.command()
def measure(
    kind: Annotated[str, typer.Argument(help="landscape or gradients")],
    cells: CellsArgument,
    seeds: SeedsOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")] = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Measure cells' finished runs for a figure, on the weights that they kept."""
    from counterpoise.errors import suggest
    from counterpoise.papers.figures import MEASURES

    if kind not in MEASURES:
        raise UserError(f"measure: no measurement '{kind}'{suggest(kind, MEASURES)}")
    plan = _bare_plan(root, benchmark, overrides)
    found = [plan.cell(cell) for cell in cells]
    chosen = _seeds(seeds, plan)
    from counterpoise.engine.device import choose_device
    from counterpoise.runs.measure import measure_run

    for runs in [_cell_to_train(plan, cell, root) for cell in found]:
        for seed in chosen:
            print(measure_run(runs, seed, kind, plan.measure_name(kind), choose_device(device)))


@app.command()
def look(
    at: Annotated[int, typer.Argument(help="the number of seeds that is looked at")],
    output: Annotated[Path, typer.Option(help="the file to write")],
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """With 'seeds: auto': write which cells need more seeds after a look, and for what."""
    from counterpoise.files import write_json
    from counterpoise.judging.looks import look_at, record

    plan = _bare_plan(root, benchmark, overrides)
    found = look_at(plan, root, at)
    for item in found.undecided:
        print(f"undecided: {item.name}: {', '.join(item.cells)}")
    write_json(root / output, record(plan, found))
    print(output)


@app.command()
def compare(
    paper: str, benchmark: BenchmarkOption = DEFAULT_BENCHMARK, overrides: SetOption = [], root: RootOption = Path()
) -> None:
    """Write the comparison with a paper: every number, verdict and claim."""
    from counterpoise.judging.compare import compare_paper

    for path in compare_paper(_plan(root, benchmark, overrides), root, paper).write(root):
        print(path)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="PAPER | A", help="a paper; or, with B, results")],
    second: Annotated[
        str | None, typer.Argument(metavar="[B]", help="results: a folder, a published record, or a Git revision")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A and B: any other number counts")] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Compare results with a paper (one argument), or results B with results A (two).

    PAPER: exit code 0: nothing deviates, 3: deviations, 4: refuted claims. A B: 0: nothing differs beyond
    seed noise, 3: a number does or is gone, 4: a claim has another verdict.
    """
    if second is not None:
        from counterpoise.judging.difference import difference
        from counterpoise.reporting.difference import print_difference
        from counterpoise.results.result_set import load_result_set

        a, b = load_result_set(first, root, like=second), load_result_set(second, root, like=first)
        changes = difference(a, b)
        print_difference(changes, strict)
        raise typer.Exit(changes.exit_code(strict))
    if strict:
        raise UserError("--strict: belongs to two results, as in 'diff A B --strict'")
    from counterpoise.judging.compare import compare_paper
    from counterpoise.reporting.terminal import print_comparison

    comparison = compare_paper(_plan(root, benchmark, overrides), root, first)
    print_comparison(comparison)
    raise typer.Exit(comparison.exit_code)


@app.command()
def report(
    single_file: Annotated[bool, typer.Option("--single-file", help="all pages in results/report.html")] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Write the HTML report: the folder results/report, or the same in a single file to pass on."""
    from counterpoise.reporting.report import write_report, write_single_file

    write = write_single_file if single_file else write_report
    print(write(_plan(root, benchmark, overrides), root))


@app.command()
def publish(
    name: Annotated[
        str | None, typer.Option(help="the record's folder in results/published; default: the benchmark's name")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="also where runs are missing or failed")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="also networks' weights, where runs kept them")] = False,
    any_source: Annotated[
        bool, typer.Option("--any-source", help="runs of the same configuration, whatever source made them")
    ] = False,
    readme: Annotated[
        bool, typer.Option("--readme", help="only write a record's README again, after notes.md has changed")
    ] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Write results/published/<name>: a record of a finished benchmark that stands on its own."""
    from counterpoise.publication import publish as publication
    from counterpoise.publication.record import find_record

    if readme:
        # A record that has its name is not planned again: it outlives its benchmark file.
        record = find_record(root, name or _plan(root, benchmark, overrides).benchmark.name)
        print(publication.rewrite_readme(record))
        return
    plan = _plan(root, benchmark, overrides)
    found = publication.publish(plan, root, name, partial=partial, weights=weights, any_source=any_source)
    print(
        f"{found.folder}: {found.runs} runs, {found.size / 1e6:.2f} MB for Git; "
        f"{found.with_predictions} runs with predictions, which Git leaves to DVC"
    )
    for folder in found.tracked:
        print(f"{folder}: tracked by DVC; 'dvc push {folder}.dvc' brings it to a remote")
    for kind in found.left_out:
        print(f"left out for size: {kind} of every run")


@app.command()
def verify(
    folder: Annotated[
        str | None, typer.Argument(help="a published record, by folder or name; default: the current results")
    ] = None,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Recompute metrics, verdicts and tables, and compare. Exit code 0: the same, 3: something differs."""
    from counterpoise.publication.record import find_record
    from counterpoise.publication.verify import verify_published, verify_results

    if folder is None:
        done = verify_results(_plan(root, benchmark, overrides), root)
    else:
        done = verify_published(find_record(root, folder))
    for line in done.lines():
        print(line)
    raise typer.Exit(done.exit_code)


@app.command()
def salvage(
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK, overrides: SetOption = [], root: RootOption = Path()
) -> None:
    """After jobs failed: write tables and report from the runs that stand, and say which do not and why."""
    from counterpoise.salvage import salvage

    found = salvage(_plan(root, benchmark, overrides), root)
    for lost in found.failed:
        log = f" (log: {lost.failure.log})" if lost.failure.log else ""
        print(f"{lost.cell} seed {lost.seed}: {lost.failure.status}: {lost.failure.reason}{log}")
    for error in found.errors:
        print(f"error: {error}", file=sys.stderr)
    stand = found.runs - len(found.lost)
    print(f"{stand} of {found.runs} runs stand, {len(found.failed)} failed; tables and report hold what stands")


@app.command()
def status(
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK, overrides: SetOption = [], root: RootOption = Path()
) -> None:
    """Say which runs are fresh, missing, interrupted, diverged or broken, and which no benchmark asks for."""
    from counterpoise.reporting.plan import status_lines
    from counterpoise.runs.status import find_orphans, known_to_benchmarks, run_statuses

    plan = _plan(root, benchmark, overrides)
    orphans = find_orphans(root, known_to_benchmarks(plan, root))
    for line in status_lines(plan, run_statuses(plan, root), orphans):
        print(line)


@app.command()
def trace(
    name: Annotated[str, typer.Argument(help="paper.table.row.column; a variant as in row@released")],
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Say what made a number: its runs, configuration, source, data, device and log, and how to redo it.

    For example mmpareto.table3.MMPareto.cg_mnist.accuracy.
    """
    from counterpoise.reporting.plan import trace_lines
    from counterpoise.runs.trace import trace as find

    for found in find(_plan(root, benchmark, overrides), root, name):
        for line in trace_lines(found):
            print(line)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="paper.table.row.column, as in 'counterpoise trace'")],
    planned: Annotated[bool, typer.Option("--plan", help="say what would run, and stop")] = False,
    write: Annotated[bool, typer.Option("--write", help="also write results/explain/NAME.*")] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Say what each registered factor, flipped by itself, does to a number, and what of its gap it recovers.

    From finished runs; 'snakemake results/explain/NAME.md' does the missing ones.
    """
    from counterpoise.judging.explain import ask
    from counterpoise.judging.explain import explain as find
    from counterpoise.reporting.explain import lines, plan_lines, write_explanation

    plan = _plan(root, benchmark, overrides)
    question = ask(plan, name)
    if planned:
        print("\n".join(plan_lines(plan, root, question)))
        return
    explanation = find(plan, root, question)
    print("\n".join(lines(plan, question, explanation)))
    if write:
        for path in write_explanation(plan, root, question, explanation):
            print(path)


@app.command()
def redo(
    cell: CellArgument,
    seed: Annotated[int, typer.Option(min=0, help="the run's seed")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>")] = "auto",
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Train a recorded run once more, aside: does it give the same bits? Exit code 3: it does not."""
    from counterpoise.runs.record import read_record
    from counterpoise.runs.trace import differences

    plan = _bare_plan(root, benchmark, overrides)
    found = plan.cell(cell)
    recorded = read_record(root / found.run_directory(seed), found.key, seed)
    from counterpoise.engine.device import choose_device
    from counterpoise.runs.train import train_cell

    (root / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".redo-", dir=root / "work") as scratch:
        aside = {"directory": Path(scratch, "runs"), "work_directory": Path(scratch, "work")}
        runs = dataclasses.replace(_cell_to_train(plan, found, root), **aside)
        (folder,) = train_cell(runs, [seed], choose_device(device))
        lines = differences(recorded, read_record(folder, found.key, seed))
    print("\n".join(lines) if lines else "the same, bit for bit: history, predictions and weights")
    raise typer.Exit(3 if lines else 0)


@app.command()
def gc(
    data: Annotated[bool, typer.Option("--data", help="prepared data, too")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="delete; without it, only list")] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Delete runs and saved states that no file in configs/benchmarks asks for; without --yes, list them."""
    from counterpoise.reporting.plan import orphan_lines
    from counterpoise.runs.status import find_orphans, known_to_benchmarks, remove

    known = known_to_benchmarks(_plan(root, benchmark, overrides), root)
    orphans = [orphan for orphan in find_orphans(root, known) if data or orphan.kind != "data"]
    for line in orphan_lines(orphans):
        print(line)
    if yes:
        for orphan in orphans:
            remove(orphan, root)
    print(f"{len(orphans)} deleted" if yes else f"{len(orphans)} to delete: nothing was, --yes does it")


@app.command()
def adopt(
    old_cell: Annotated[str, typer.Argument(help="the cell that the runs are in, as 'counterpoise status' lists")],
    new_cell: Annotated[str, typer.Argument(help="the cell of the plan that they are right for")],
    reason: Annotated[str, typer.Option(help="why no number can differ; kept in the records and shown")],
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    overrides: SetOption = [],
    root: RootOption = Path(),
) -> None:
    """Rename old runs to a new key, when a change that renamed them cannot have changed a number."""
    from counterpoise.runs.adopt import adopt as rename

    adopted = rename(_plan(root, benchmark, overrides), root, old_cell, new_cell, reason)
    for line in adopted.changes:
        print(f"changed: {line}")
    for folder in adopted.folders:
        print(folder)


@app.command("check-method")
def check_method(name: str) -> None:
    """Check the properties that every method must have, on a built-in or an installed method."""
    from rich.console import Console

    from counterpoise.testing.conformance import check_method as check

    console = Console(soft_wrap=True)
    results = check(name)
    for result in results:
        mark = "[green]holds[/]" if result.passed else "[red]fails[/]"
        detail = f": {result.detail}" if result.detail else ""
        console.print(f"{mark}  {name} ({result.variant})  {result.name}{detail}", highlight=False)
    failed = sum(not result.passed for result in results)
    console.print(f"{len(results) - failed} of {len(results)} properties hold")
    raise typer.Exit(1 if failed else 0)


@app.command("new-method")
def new_method(
    name: str,
    family: Annotated[str, typer.Option(help="loss, modulation or integration")] = "loss",
    root: RootOption = Path(),
) -> None:
    """Write a working method and its test: in this checkout built in, elsewhere a package of its own."""
    from counterpoise.testing.new_method import new_method as write

    for path in write(name, root, family):
        print(path)


@app.command()
def audit(paper: str, root: RootOption = Path()) -> None:
    """Hold a paper's printed numbers against themselves: test sizes, repeated values, counts, marks."""
    from counterpoise.papers.paper import load_paper
    from counterpoise.reporting.audit import write_audit

    path = write_audit(load_paper(root / "configs", paper), root)
    print(path.read_text(encoding="utf-8"), end="")


@app.command("paper-values")
def paper_values(
    paper: str,
    output_format: Annotated[str, typer.Option("--format", help="csv or table")] = "table",
    root: RootOption = Path(),
) -> None:
    """Print every printed number of a paper that the configs hold."""
    from counterpoise.errors import suggest
    from counterpoise.papers.paper import load_paper, printed_values

    if output_format not in ("csv", "table"):
        raise UserError(f"--format {output_format}: unknown format{suggest(output_format, ('csv', 'table'))}")
    rows = printed_values(load_paper(root / "configs", paper))
    names = ("table", "method", "dataset", "metric", "value")
    if output_format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*names)
    for row in rows:
        shown.add_row(*map(str, row))
    Console().print(shown)
