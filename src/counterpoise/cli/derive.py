"""The derived folder of a benchmark: written in one step, by the workflow and by commands alike."""

from __future__ import annotations

import sys
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.files import atomic_directory, clear_left
from counterpoise.locks import locked
from counterpoise.planning.plan import Plan
from counterpoise.results.basis import (
    BASIS,
    Basis,
    file_problem,
    files_below,
    now,
    read_basis,
    results_folder,
    stamp,
    write_basis,
)
from counterpoise.results.explained import explanations_folder, read_explanations
from counterpoise.results.papers import papers_of
from counterpoise.results.table import FILES, Results, read_results, write_results
from counterpoise.runs.changed import asked_for, find_changed, made_of, run_stamps


def current_results(plan: Plan, root: Path) -> Results:
    """Return a benchmark's results, written anew where anything that they rest on has changed.

    Raises:
        UserError: files of a run are not what was written.
    """
    folder = results_folder(root, plan.benchmark.name)
    if find_changed(plan, root):
        write_benchmark(plan, root)
        print(f"{folder}: brought up to date", file=sys.stderr)
    basis = read_basis(folder)
    if basis is not None and basis.partial:
        print(f"{folder}: partial: {basis.finished} of {basis.planned} runs", file=sys.stderr)
    return read_results(folder, Path(root) / "results/runs")


def write_benchmark(plan: Plan, root: Path) -> list[str]:
    """Write ``results/<benchmark>/`` as a whole, of all runs that are finished; return what could not be made.

    Values of runs that have not changed since it was last written are taken over.

    Raises:
        UserError: files of a run are not what was written, or the folder cannot be written.
    """
    from counterpoise.judging.compare import judge
    from counterpoise.reporting.write import write_derived
    from counterpoise.runs.collect import collect
    from counterpoise.runs.remembered import remember
    from counterpoise.runs.settle import clear_finished, settle

    root = Path(root)
    folder = results_folder(root, plan.benchmark.name)
    # Whatever is written from here on is compared by its digest later: before the first look at a run.
    read_at = now(folder.parent if folder.parent.is_dir() else root)
    for path, problem in find_changed(plan, root).items():
        if not path.endswith(BASIS):
            raise UserError(f"{problem}: 'counterpoise run --benchmark {plan.path}' makes it again")
    with locked(root / "work/benchmarks" / f"{folder.name}.lock", "another process writes these results; waiting"):
        clear_left(folder, alone=True)  # by the lock, nobody else writes it, on no other machine either
        settle(plan, root)
        # Before they are read: a run that ends in between is then newer than the basis, and not taken for a known one.
        stamps = _stamps(plan, root)
        results = collect(plan, root, _previous(folder))
        explained = explanations_folder(root, plan.benchmark.name)
        explanations = read_explanations(explained, plan.benchmark.name)
        papers = papers_of(results.layout, root / "configs")
        comparisons = [judge(papers[name], results) for name in results.layout.judged]
        with atomic_directory(folder) as new:
            write_results(results, new)
            problems = write_derived(new, results, comparisons, papers=papers, explanations=explanations.values())
            basis = Basis(
                asked=asked_for(results.layout, root),
                planned=len(results.runs),
                finished=sum(run.finished for run in results.runs),
                read_at=read_at,
                runs=stamps,
                explanations={path.name: stamp(path) for path in files_below(explained)},
            )
            write_basis(new, basis)
        clear_finished(plan, root)
        remember(plan, root)
    return problems


def _previous(folder: Path) -> Results | None:
    """Return the results in a folder if they are what was written there: values are taken over from them.

    None where somebody changed them or another version wrote them: everything is then computed anew from the runs.
    """
    basis = read_basis(folder)
    if basis is None or any(name not in basis.files for name in FILES):
        return None
    if any(file_problem(folder / name, basis.files[name], since=0) for name in FILES):
        return None
    try:
        return read_results(folder)
    except UserError as error:
        print(f"values are computed anew, none is taken over: {error}", file=sys.stderr)
        return None


def _stamps(plan: Plan, root: Path) -> dict[str, dict[str, tuple[int, str]]]:
    stamps_by_run = {}
    for cell in plan.cells:
        names = made_of(plan, cell)
        for seed in plan.seeds:
            stamps = run_stamps(root / cell.run_directory(seed), names)
            if stamps:
                stamps_by_run[f"{cell.name}/seed-{seed}"] = stamps
    return stamps_by_run
