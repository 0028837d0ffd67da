"""What Python programs and notebooks use: plan and run a benchmark, load what came out as data frames, judge it.

What is wrong with a request raises :class:`counterpoise.errors.UserError`, whose one line the commands print.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from counterpoise.errors import UserError, suggest
from counterpoise.judging.compare import Comparison
from counterpoise.judging.compare import judge as judge_paper
from counterpoise.papers.paper import Paper
from counterpoise.results.layout import LayoutCell
from counterpoise.results.papers import papers_of
from counterpoise.results.table import Results, RunEntry, read_results

if TYPE_CHECKING:
    from counterpoise.planning.plan import Plan

DEFAULT_BENCHMARK = "digits"
CELL = ("dataset", "model", "method", "variant", "protocol", "key")

# Columns of comparisons that are text even where all of it could be read as numbers: a row may be called '2'.
TEXT = {
    *("paper", "table", "row", "column", "variant", "dataset", "metric", "printed", "verdict", "reason"),
    *("claim", "section", "family", "quote", "better", "status"),
}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What came out of a benchmark, from its folder of results or from a published record.

    ``folder`` is what was read. ``results`` is the results table with its layout; ``papers`` has those that it is
    compared with, by name.
    """

    folder: Path
    results: Results
    papers: Mapping[str, Paper] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.results.layout.name

    @property
    def partial(self) -> bool:
        """Whether planned runs are missing or failed."""
        return not all(run.finished for run in self.results.runs)

    @functools.cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparison with each paper, by the paper's name."""
        return {name: judge_paper(paper, self.results) for name, paper in self.papers.items()}

    @property
    def values(self) -> pd.DataFrame:
        """Every value of every run, as fractions: a row per selection, output and metric of a run."""
        return self.results.values.copy()

    @property
    def numbers(self) -> pd.DataFrame:
        """A row per printed number: what is printed, our mean, standard deviation and n, the verdict and its reason.

        Means are in the paper's printed units.
        """
        return self._frame(".csv")

    @property
    def seeds(self) -> pd.DataFrame:
        """A row per printed number and run: what each seed gave for it, in the paper's printed units."""
        return self._frame(".seeds.csv")

    @property
    def pairs(self) -> pd.DataFrame:
        """A row per two rows of a column: their paired difference, its interval, p and the verdict.

        In tables of one's own, and of methods added to a paper's table, that is the result.
        """
        return self._frame(".pairs.csv")

    @property
    def claims(self) -> pd.DataFrame:
        """A row per claim: the verdict, what was observed, and the paper's words."""
        return self._frame(".claims.csv")

    @property
    def runs(self) -> pd.DataFrame:
        """A row per planned run: how it ended, why, and its folder below the folder of runs."""
        rows = [
            {**self._cell_of(run), "status": run.status, "reason": run.reason, "folder": run.folder}
            for run in self.results.runs
        ]
        return pd.DataFrame(rows, columns=[*CELL, "seed", "status", "reason", "folder"])

    def histories(self, **wanted: Any) -> pd.DataFrame:
        """Return the learning curves of finished runs: a row per run and epoch.

        Args:
            wanted: which runs, by the columns of :attr:`runs`, as in ``method="mmpareto", seed=0``; a list of values
                means any of them.

        Raises:
            UserError: there is no such column, or the file of a run is no table of numbers.
        """
        from counterpoise.results.run_files import HISTORY
        from counterpoise.results.series import read_series

        parts = []
        for run in self._chosen(wanted):
            series = read_series(self.results.runs_folder / run.folder / HISTORY)
            part = pd.DataFrame(series)
            for place, (name, value) in enumerate(self._cell_of(run).items()):
                part.insert(place, name, value)
            parts.append(part)
        found = [part for part in parts if len(part) > 0]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*CELL, "seed", "epoch"])

    def _frame(self, ending: str) -> pd.DataFrame:
        """Return a file of the comparisons, of all papers, as a frame."""
        texts = [found.texts()[f"{name}{ending}"] for name, found in self.comparisons.items()]
        frames = [pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False) for text in texts]
        return _typed(pd.concat(frames, ignore_index=True)) if frames else pd.DataFrame()

    def _chosen(self, wanted: Mapping[str, Any]) -> Iterator[RunEntry]:
        known = (*CELL, "seed")
        for name in wanted:
            if name not in known:
                raise UserError(f"histories: runs have no '{name}'{suggest(name, known)}")
        allowed = {name: value if isinstance(value, (list, tuple, set)) else [value] for name, value in wanted.items()}
        for run in self.results.runs:
            names = self._cell_of(run)
            if run.finished and all(names[name] in values for name, values in allowed.items()):
                yield run

    def _cell_of(self, run: RunEntry) -> dict[str, Any]:
        cell: LayoutCell = self.results.cell(run.cell)
        return {**{name: getattr(cell, name) for name in CELL}, "seed": run.seed}


def plan(benchmark: str = DEFAULT_BENCHMARK, *, root: Path | str | None = None, **settings: Any) -> Plan:
    """Return a benchmark resolved: its cells, runs and the places of its tables. As ``counterpoise plan``.

    Args:
        benchmark: a name of ``configs/benchmarks``, or the path of a file.
        root: the project's folder; default: the nearest of the working folder and those above it.
        settings: laid over the benchmark's keys, as ``--set`` does: ``seeds=[0, 1]``.
    """
    return _request(benchmark, root, settings).plan()


def run(
    benchmark: str = DEFAULT_BENCHMARK,
    *,
    cores: int | str = "all",
    profile: str | None = None,
    options: Sequence[str] = (),
    root: Path | str | None = None,
    **settings: Any,
) -> Loaded:
    """Run a benchmark, from raw data to the report, and load what came out. As ``counterpoise run``.

    Args:
        cores: how many cores to use.
        profile: a folder of ``workflow/profiles`` by name, or a path.
        options: further ones of snakemake.

    Raises:
        UserError: something failed; what is finished can still be loaded, with :func:`load`.
    """
    from counterpoise.cli.run import run_workflow
    from counterpoise.results.basis import results_folder

    asked = _request(benchmark, root, settings)
    name = asked.plan().benchmark.name
    code = run_workflow(asked, cores=str(cores), profile=profile, options=options)
    if code != 0:
        raise UserError(f"run {name}: snakemake ended with exit code {code}; its lines above name the logs")
    return load(results_folder(asked.root, name), root=asked.root)


def load(name: str | Path, *, root: Path | str | None = None) -> Loaded:
    """Return what came out of a benchmark: ``load("mosi").numbers`` is a data frame.

    It is read as it is, and nothing is run or brought up to date.

    Args:
        name: a benchmark that has results in the project; else a published record's name; or the folder of either.
        root: the project's folder, as in :func:`plan`. A folder that has the papers with it needs no project.

    Raises:
        UserError: there are no such results, or a file of them is torn.
    """
    from counterpoise.publication.record import is_record, read_published

    folder, home = _folder(name, root)
    if is_record(folder):
        published = read_published(folder)
        return Loaded(folder=folder, results=published.results, papers=_judged(published.results, published.papers))
    results = read_results(folder, home / "results/runs")
    papers = _judged(results, papers_of(results.layout, home / "configs"))
    return Loaded(folder=folder, results=results, papers=papers)


def judge(loaded: Loaded | str | Path, paper: str | None = None, *, root: Path | str | None = None) -> Comparison:
    """Compare results with a paper: numbers, claims, rankings and an exit code. As ``counterpoise diff PAPER``.

    Args:
        loaded: what :func:`load` gives, or what it takes.
        paper: may be left out where the benchmark has tables of one paper only.

    Raises:
        UserError: the results have no table of this paper.
    """
    found = loaded if isinstance(loaded, Loaded) else load(loaded, root=root)
    if paper is None and len(found.papers) == 1:
        paper = next(iter(found.papers))
    if paper is None or paper not in found.papers:
        said = "say which paper" if paper is None else f"no table of the paper '{paper}'"
        raise UserError(f"{found.name}: {said}{suggest(paper or '', found.papers)}")
    return found.comparisons[paper]


def _request(benchmark: str, root: Path | str | None, settings: Mapping[str, Any]) -> Any:
    from counterpoise.cli.project import Request, benchmark_path, find_root

    home = find_root(None if root is None else Path(root))
    return Request(root=home, benchmark=benchmark_path(home, benchmark), overrides=dict(settings))


def _folder(name: str | Path, root: Path | str | None) -> tuple[Path, Path]:
    """Return the folder that ``name`` means, and the project that it is in or that is named."""
    from counterpoise.cli.project import find_root
    from counterpoise.path_names import is_safe
    from counterpoise.publication.record import is_record
    from counterpoise.results.basis import RESERVED
    from counterpoise.results.result_set import known_names
    from counterpoise.results.table import LAYOUT

    path = Path(name)
    if path.is_dir() and is_record(path):
        return path, path
    home = find_root(None if root is None else Path(root), path if (path / LAYOUT).is_file() else None)
    if (path / LAYOUT).is_file():
        return path, home
    if is_safe(str(name)) and name not in RESERVED:
        for folder in (home / "results" / path, home / "results/published" / path):
            if (folder / LAYOUT).is_file():
                return folder, home
    raise UserError(f"load {name}: no results of this name{suggest(str(name), known_names(home))}")


def _judged(results: Results, papers: Mapping[str, Paper]) -> dict[str, Paper]:
    return {name: papers[name] for name in results.layout.judged}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of texts with numbers where all fields of a column are, NaN where one of these is empty."""
    for name in frame.columns.difference(list(TEXT)):
        if len(frame) > 0 and set(frame[name]) <= {"yes", "no"}:
            frame[name] = frame[name] == "yes"
            continue
        numbers = pd.to_numeric(frame[name].replace("", None), errors="coerce")
        if (numbers.isna() == (frame[name] == "")).all():
            frame[name] = numbers
    return frame
