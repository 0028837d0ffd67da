"""Commands that run a benchmark and say how far it is: run, plan, status, gc."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterpoise.cli.project import (
    DEFAULT_BENCHMARK,
    BenchmarkOption,
    JsonOption,
    Request,
    RootOption,
    SetOption,
    benchmark_names,
    check_mirror,
    data_roots,
    request,
)
from counterpoise.errors import UserError, reason, suggest

if TYPE_CHECKING:
    from counterpoise.planning.plan import Plan
    from counterpoise.runs.estimate import Recorded
    from counterpoise.runs.status import RunStatus

PANEL = "Run"
WATCH_SECONDS = 2.0

app = typer.Typer()


@app.command(rich_help_panel=PANEL, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    cores: Annotated[str, typer.Option(help="how many cores to use")] = "all",
    profile: Annotated[str | None, typer.Option(help="slurm, multi-gpu, ... (workflow/profiles), or a folder")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="say what would run")] = False,
    root: RootOption = None,
) -> None:
    """Run a benchmark, from raw data to the report. What is done already is not done again.

    Calls snakemake; further options and targets are passed on to it.
    """
    asked = request(benchmark, settings, root)
    planned = asked.plan()  # whatever is wrong with the configuration is said in one line, not in Snakemake's words
    check_mirror(planned, asked.root)
    if context.args:
        known = [name for parameter in context.command.params for name in parameter.opts]
        check_options(context.args, known, asked.root)
    options = [*(["--dry-run"] if dry_run else []), *context.args]
    raise typer.Exit(run_workflow(asked, cores=cores, profile=profile, options=options, results=planned.benchmark.name))


RULE = re.compile(r"^(?:rule|use rule \w+ as) (\w+)", re.MULTILINE)


def check_options(given: Sequence[str], own: Sequence[str], root: Path) -> None:
    """Refuse what Snakemake would answer by all of its usage or by a traceback: an unknown long option, and a word that
    is neither a rule nor a file to make.

    Raises:
        UserError: names the nearest option, rule or benchmark.
    """
    from snakemake.cli import get_argument_parser  # takes a second, and is needed for this alone

    options = get_argument_parser()._option_string_actions
    left: float = 0
    for word in given:
        name, separator, _ = word.partition("=")
        if word.startswith("-"):
            if name.startswith("--") and name != "--" and not any(known.startswith(name) for known in options):
                close = difflib.get_close_matches(name, [*own, *options], n=1)
                hint = f"; did you mean '{close[0]}'?" if close else ": neither 'counterpoise run' nor snakemake has it"
                raise UserError(f"run {name}: there is no such option{hint}")
            takes = options[name].nargs if name in options and not separator else 0
            left = {None: 1, 0: 0, "?": 1}.get(takes, float("inf"))
        elif left:
            left -= 1
        elif re.fullmatch(r"[\w-]+", word) and not (root / word).exists():
            _check_rule(word, root)


def _check_rule(word: str, root: Path) -> None:
    files = [root / "Snakefile", *sorted((root / "workflow/rules").glob("*.smk"))]
    rules = {name for file in files if file.is_file() for name in RULE.findall(file.read_text(encoding="utf-8"))}
    if rules and word not in rules:
        benchmark = f"; did you mean '-b {word}'?" if word in benchmark_names(root) else suggest(word, rules)
        raise UserError(f"run {word}: neither a rule of the workflow nor a file that it makes{benchmark}")


def run_workflow(
    asked: Request, *, cores: str, profile: str | None, options: Sequence[str] = (), results: str = ""
) -> int:
    """Call snakemake for a benchmark and return its exit code; ``options`` are further ones of it.

    What came out is printed in the end. Snakemake says nothing where there was nothing to do, so this does, for the
    benchmark called ``results``, where no option asks for something else.

    Raises:
        UserError: the folder cannot be written, which Snakemake answers by a traceback even where nothing is to do.
    """
    import os
    import subprocess

    from counterpoise.cli.closing import CLOSED_BY_CALLER, closing_lines

    own = asked.root / ".snakemake"
    if not os.access(own if own.is_dir() else asked.root, os.W_OK):
        raise UserError(
            f"{asked.root.resolve()}: a run writes here, and it is read-only; 'counterpoise show' only reads"
        )
    command = ["snakemake", "--configfile", str(asked.benchmark)]
    if asked.overrides:
        command += ["--config", *(f"{key}={value!r}" for key, value in asked.overrides.items())]
    if profile is not None:
        named = Path("workflow/profiles") / profile
        command += ["--profile", str(named if (asked.root / named).is_dir() else profile)]
    command += ["--cores", cores, *options]
    # The command of this very installation comes first on the path, for the shells of the rules.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    says = bool(results) and not options
    if says:
        environment[CLOSED_BY_CALLER] = "yes"
    with subprocess.Popen(command, cwd=asked.root, env=environment) as snakemake:
        try:
            code = snakemake.wait()
        except KeyboardInterrupt:
            # The terminal told Snakemake, too, and that tells its jobs, which save their states: not killed meanwhile.
            print("stopping: runs save their states; Ctrl-C again stops at once", file=sys.stderr, flush=True)
            try:
                snakemake.wait()
            except KeyboardInterrupt:
                snakemake.kill()
            raise
    if says and code == 0:
        from counterpoise.reporting.folding import print_lines
        from counterpoise.results.basis import results_folder

        print_lines(closing_lines(results_folder(asked.root, results)))
    return code


@app.command(rich_help_panel=PANEL)
def plan(
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    cells: Annotated[bool, typer.Option("--cells", help="list every cell and the state of its runs")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="train a few steps, aside, of whatever has no run on record")
    ] = False,
    device: Annotated[
        str | None, typer.Option("--device", help="estimate for a device that need not be here: a100, rtx3090, ...")
    ] = None,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """Before launch: check the whole configuration; say what would run, what is there, how long it takes."""
    from counterpoise.cli.overview import plan_data, plan_lines
    from counterpoise.reporting.folding import print_lines
    from counterpoise.runs.changed import checked_statuses
    from counterpoise.runs.estimate import read_recorded

    if device is not None and measure:
        raise UserError("plan: --measure is about this machine, --device about another; ask for one of them")
    asked = request(benchmark, settings, root)
    planned = asked.plan()
    check_mirror(planned, asked.root)
    runs = checked_statuses(planned, asked.root)
    if as_json:
        _print_json(plan_data(planned, runs))
        return
    how = ""
    if device is not None:
        records, notes, how = _count_runs(planned, runs, asked.root, device)
    else:
        tried, notes = _try_steps(planned, asked.root) if measure else ([], [])
        records = [*read_recorded(asked.root), *tried]
    downloads = _downloads(planned, asked.root)
    print_lines(plan_lines(planned, asked.root, cells, runs, records, downloads, notes, how))


@app.command(rich_help_panel=PANEL)
def status(
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="go on until all runs are finished")] = False,
    as_json: JsonOption = False,
    root: RootOption = None,
) -> None:
    """How far a benchmark is: finished, training (epoch, time left), failed, missing and broken runs."""
    import time

    from counterpoise.cli.overview import progress_lines, status_data, status_lines
    from counterpoise.reporting.folding import print_lines
    from counterpoise.runs.changed import checked_statuses
    from counterpoise.runs.status import find_orphans, known_to_benchmarks, run_statuses

    asked = request(benchmark, settings, root)
    plan = asked.plan()
    if as_json:
        _print_json(status_data(plan, checked_statuses(plan, asked.root)))
        return
    while watch:
        runs = run_statuses(plan, asked.root)
        lines = list(progress_lines(plan, runs, time.time()))
        if sys.stdout.isatty():
            print("\033[2J\033[H", end="")
        print("\n".join(lines), flush=True)
        if all(run.finished for run in runs):
            return
        time.sleep(WATCH_SECONDS)
    orphans = []
    try:
        orphans = find_orphans(asked.root, known_to_benchmarks(plan, asked.root))
    except UserError as error:  # of another benchmark: how far this one is does not depend on it
        print(f"note: runs that no benchmark names were not looked for: {error}", file=sys.stderr)
    print_lines(status_lines(plan, checked_statuses(plan, asked.root), orphans))


@app.command(rich_help_panel=PANEL)
def gc(
    data: Annotated[bool, typer.Option("--data", help="prepared data, too")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="delete; without it, only list")] = False,
    benchmark: BenchmarkOption = DEFAULT_BENCHMARK,
    settings: SetOption = None,
    root: RootOption = None,
) -> None:
    """List, or with --yes delete, runs that no benchmark names: none in configs/ and none that ever ran here."""
    from counterpoise.cli.overview import orphan_lines
    from counterpoise.runs.status import find_orphans, known_to_benchmarks, remove

    asked = request(benchmark, settings, root)
    in_use = known_to_benchmarks(asked.plan(), asked.root)
    orphans = [orphan for orphan in find_orphans(asked.root, in_use) if data or orphan.kind != "data"]
    for line in orphan_lines(orphans):
        print(line)
    if yes:
        for orphan in orphans:
            remove(orphan, asked.root)
    print(f"{len(orphans)} deleted" if yes else f"{len(orphans)} to delete: nothing was, --yes does it")


def _print_json(data: Any) -> None:
    from counterpoise.files import json_text

    print(json_text(data, sort_keys=False), end="")


def _downloads(plan: Plan, root: Path) -> dict[str, str]:
    """Say of each dataset that is not prepared what there is to fetch, or to get by hand."""
    from counterpoise.cli.overview import is_prepared, size_text
    from counterpoise.planning.forms import form_of
    from counterpoise.reporting.words import counted

    roots = data_roots(plan, root)
    said = {}
    for data in plan.datasets:
        if is_prepared(data, root):
            continue
        from counterpoise.data.status import to_fetch

        raw = root / "data/raw"
        try:
            files, size, unknown, by_hand, listed = to_fetch(data.component, data.settings, raw, roots, data.name)
        except (UserError, OSError) as error:
            # The rest of the plan does not rest on it.
            said[data.name] = f"its raw files cannot be looked at: {reason(error)}"
            continue
        form = form_of(root, plan.resolver.configs, data)
        about = f"about {size_text(form.raw_bytes)}" if form is not None and form.raw_bytes else "unknown size"
        parts = [f"{counted(files - unknown, 'file')}, {size_text(size)}"] if files > unknown else []
        parts += [f"{counted(unknown, 'file')} of {about}"] if unknown else []
        parts += [f"the files that are listed there, about {size_text(listed)}"] if listed else []
        parts += [f"{by_hand} by hand"] if by_hand else []
        said[data.name] = f"to fetch: {'; '.join(parts)}" if files else "nothing to fetch"
    return said


def _count_runs(plan: Plan, runs: Sequence[RunStatus], root: Path, name: str) -> tuple[list[Recorded], list[str], str]:
    """Count one run of every dataset, model and method to do, as on the device ``name``; return also what there is to
    say of memory, and of the estimate itself.
    """
    from counterpoise.cli.overview import memory_notes
    from counterpoise.planning.forms import form_of
    from counterpoise.runs.count import count_run, micro_batch_that_fits
    from counterpoise.runs.devices import device_named
    from counterpoise.runs.estimate import Recorded

    device = device_named(name)
    recorded, memory, parts = [], {}, {}
    for cell in {run.cell.name: run.cell for run in runs if not run.finished}.values():
        names = (cell.dataset, cell.model, cell.method)
        form = form_of(root, plan.resolver.configs, cell.data)
        if "/".join(names) in memory or form is None:
            continue
        count = count_run(cell.config, form)
        seconds = count.run.seconds(device, count.precision) / count.epochs
        recorded.append(Recorded(*names, seconds, 0, device.title))
        needed = memory["/".join(names)] = count.memory_on(device)
        if device.memory is not None and needed > device.memory:
            parts["/".join(names)] = micro_batch_that_fits(cell.config, form, needed, device.memory)
    how = f"at most, since all epochs are counted, on {device.title} ({device.source})"
    return recorded, memory_notes(memory, device, parts), how


def _try_steps(plan: Plan, root: Path) -> tuple[list[Any], list[str]]:
    """Train a few steps of one cell of every dataset, model and method to do that no run is recorded of."""
    from counterpoise.cli.overview import duration_text, is_prepared, size_text
    from counterpoise.runs.estimate import Recorded, read_recorded
    from counterpoise.runs.status import run_statuses

    known = {(run.dataset, run.model, run.method) for run in read_recorded(root)}
    recorded, notes = [], []
    for cell in {run.cell.name: run.cell for run in run_statuses(plan, root) if not run.finished}.values():
        names = (cell.dataset, cell.model, cell.method)
        if names in known or cell.parents or not is_prepared(cell.data, root):
            continue
        from counterpoise.runs.machine import choose_device
        from counterpoise.runs.run import run_of
        from counterpoise.runs.trial import try_run

        known.add(names)
        trial = try_run(run_of(plan, cell, plan.seeds[0], root), choose_device("auto"))
        recorded.append(Recorded(*names, trial.seconds_per_epoch, 0, trial.device))
        whole = trial.seconds_per_epoch * cell.config["protocol"]["epochs"]
        energy = f", {trial.watts * whole / 3.6e6:.3g} kWh at {trial.watts:.0f} W" if trial.watts else ""
        notes.append(
            f"measured {trial.steps} steps of {'/'.join(names)} on {trial.device}: "
            f"{duration_text(whole)} a run, {size_text(trial.peak_memory)} at most{energy}"
        )
    return recorded, notes
