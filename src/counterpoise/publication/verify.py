"""Do stored results still say what their runs say? Compute them again, and name every value that differs.

There is one way: each run's values are computed from its predictions into a second results table; that is compared with
the stored one, judged, and what comes out is compared with the stored comparison and tables. It is the same for a
published record and for one's own results.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.errors import UserError
from counterpoise.files import json_text, read_json, read_text, sha256_file
from counterpoise.judging.compare import Comparison, judge
from counterpoise.metrics import METRICS
from counterpoise.path_names import printable
from counterpoise.publication import record as published
from counterpoise.publication.explanations import FOLDER as EXPLANATIONS
from counterpoise.publication.explanations import make_explanations, read_flips
from counterpoise.publication.readme import readme_text
from counterpoise.reporting.explain import explanation_texts
from counterpoise.reporting.tables.view import view_table
from counterpoise.reporting.write import SUMMARY, checked_texts, summary
from counterpoise.results.agreement import agreement_values
from counterpoise.results.diagnostics import kind_of
from counterpoise.results.explained import read_explanations
from counterpoise.results.measure import Measured, measure_files
from counterpoise.results.papers import papers_of
from counterpoise.results.rows import parse_rows
from counterpoise.results.run_files import COMPACT, DIAGNOSTICS, HISTORY, PREDICTIONS, RECORD, TIMINGS, read_run_file
from counterpoise.results.table import (
    CORRECT,
    DETAILS,
    LAYOUT,
    RUNS,
    VALUES,
    Results,
    RunEntry,
    Value,
    as_table,
    read_results,
    rows_of_run,
    values_by_run,
)

ALL_THE_SAME, DIFFERENCES = 0, 3
# Another processor or version of a library may change the last digits of a calibration error, and no more.
METRIC_TOLERANCE = 1e-6
NOTHING = "nothing"
"""What a record says of a metric that its version of the source had not."""

# Comparisons and tables are written with six significant digits.
WRITTEN_TOLERANCE = 2e-6

# By the end of a file's name: the columns that name a line.
LINE_NAMES = {
    ".claims.csv": ("claim", "row"),
    ".rankings.csv": ("table", "variant", "column"),
    ".seeds.csv": ("table", "row", "column", "seed"),
    ".gains.csv": ("table", "row", "column"),
    ".columns.csv": ("table", "column"),
    ".margins.csv": ("table", "margin"),
    ".pairs.csv": ("table", "column", "row", "other"),
}
COMPARISON_LINE = ("table", "row", "column")
LINES_BELOW = {"tables": ("row",), EXPLANATIONS: ("factor", "from", "to")}
# Columns in words, which another version of the source may put differently.
WORDS = frozenset({"reason", "quote", "section", "source"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A stored value that is not what comes out now."""

    file: str
    key: str
    stored: str
    now: str

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.key}: stored {self.stored}, now {self.now}".replace("\n", " "))


@dataclass(kw_only=True)
class Verification:
    """What was looked at, what differs, and what could not be looked at (``notes``)."""

    name: str
    runs: int = 0
    recomputed: int = 0
    texts: int = 0
    files: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if all is the same, 3 if anything differs."""
        return DIFFERENCES if self.differences else ALL_THE_SAME

    def lines(self) -> Iterator[str]:
        """Yield what to print: every difference, the notes, and a summary in one line."""
        yield from map(str, self.differences)
        yield from (f"note: {printable(note)}" for note in self.notes)
        parts = [
            f"{self.recomputed} of {self.runs} finished runs recomputed from their predictions",
            f"{self.texts} files of tables and comparisons",
        ]
        if self.files:
            parts.append(f"{self.files} files in the manifest")
        many = len(self.differences)
        outcome = f"{many} difference{'s' if many > 1 else ''}" if many else "all the same"
        yield f"{printable(self.name)}: {', '.join(parts)}: {outcome}"

    def differs(self, file: str, key: str, stored: object, now: object) -> None:
        """Add a difference."""
        self.differences.append(Difference(file=file, key=key, stored=str(stored)[:300], now=str(now)[:300]))


def verify(folder: Path, papers: Path | None = None) -> Verification:
    """Verify a published record from what is in its folder alone, or the results of a benchmark.

    Args:
        papers: the folder that has ``papers/``, of one's own results (``configs``).

    Raises:
        UserError: there is nothing to verify, or a file is missing or torn.
    """
    folder = Path(folder)
    done = Verification(name=str(folder))
    record = published.read_published(folder) if published.is_record(folder) else None
    if record is not None:
        _check_manifest(record, done)
        results, found_papers = record.results, record.papers
    else:
        results = read_results(folder)
        found_papers = papers_of(results.layout, papers or folder)
    _check_planned(results, done)
    left_out = frozenset(record.manifest.left_out) if record is not None else frozenset()
    again = _recomputed(results, done, left_out)
    comparisons = {name: judge(found_papers[name], again) for name in results.layout.judged}
    views = [view_table(again, comparisons[place.paper], place.table) for place in again.layout.tables]
    texts = checked_texts(comparisons.values(), views)
    _compare_summary(folder, again, comparisons, done)
    if record is not None:
        exact = record.same_source
        if exact:
            texts[published.README] = readme_text(replace(record, results=again))
        else:
            done.notes.append(
                "written by another version of the source: numbers and verdicts are compared by value, other texts by "
                "their digest"
            )
        if left_out:
            done.notes.append(f"not in the record, for its size: {', '.join(sorted(left_out))} of the runs")
        texts |= _explanations_again(record, again, done, left_out)
    else:
        exact = True
    _compare_texts(folder, texts, done, exact=exact)
    return done


def _explanations_again(
    record: published.PublishedRecord, results: Results, done: Verification, left_out: frozenset[str]
) -> dict[str, str]:
    """Return the texts of a record's explanations, made of its runs and those of the flips, by their place."""
    written = read_explanations(record.folder / EXPLANATIONS, results.layout.name).values()
    flips = read_flips(record.folder)
    made, problems = make_explanations(written, results, record.papers, flips and _recomputed(flips, done, left_out))
    for line in problems:
        done.differs(EXPLANATIONS, "explanation", "made of runs of the record", line)
    return {f"{EXPLANATIONS}/{name}": text for one in made for name, text in explanation_texts(one).items()}


def recompute(record: published.PublishedRecord) -> Results:
    """Return a record's results with every value computed again, those of metrics included that it has not.

    Raises:
        UserError: a file is not the one that its manifest names, or a stored value does not come out again.
    """
    done = Verification(name=str(record.folder))
    _check_manifest(record, done)
    results = _recomputed(record.results, done, frozenset(record.manifest.left_out))
    _refuse_wrong(done, f"; 'counterpoise verify {record.folder.name}' lists all")
    return results


def recompute_values(results: Results, left_out: Sequence[str] = ()) -> Results:
    """Return results with every value computed again from the files in their ``runs_folder``.

    Raises:
        UserError: a stored value does not come out again.
    """
    done = Verification(name=str(results.runs_folder.parent))
    results = _recomputed(results, done, frozenset(left_out))
    _refuse_wrong(done)
    return results


def _refuse_wrong(done: Verification, advice: str = "") -> None:
    wrong = [difference for difference in done.differences if difference.stored != NOTHING]
    if wrong:
        raise UserError(f"{done.name}: {wrong[0]}{advice}")


# -- the manifest --------------------------------------------------------------------------------------------


def _check_manifest(record: published.PublishedRecord, done: Verification) -> None:
    listed = record.manifest.files
    there = {path.relative_to(record.folder).as_posix(): path for path in published.record_files(record.folder)}
    done.files = len(listed)
    for name, sha256 in listed.items():
        now = sha256_file(there[name]) if name in there else "no such file"
        if now != sha256:
            done.differs(name, "sha256", sha256, now)
    for name in sorted(there.keys() - listed.keys()):
        done.differs(name, "sha256", "not in the manifest", sha256_file(there[name]))


def _check_planned(results: Results, done: Verification) -> None:
    """Every cell has a run of every seed: a list of runs could have lost those that failed."""
    listed = {(run.cell, run.seed) for run in results.runs}
    for cell in results.layout.cells:
        for seed in results.layout.seeds:
            if (cell, seed) not in listed:
                done.differs(RUNS, f"{cell} seed {seed}", "not listed", "planned by layout.json")


# -- runs ----------------------------------------------------------------------------------------------------


ValueKey = tuple[str, str, str]
Values = dict[ValueKey, tuple[int | None, float]]


def _without(file: str) -> set[str]:
    """Return the metrics that are missing where a record lacks a kind of file."""
    source = {HISTORY: "history", DIAGNOSTICS: "steps", TIMINGS: "steps"}.get(file, kind_of(file))
    return {metric.name for metric in METRICS.values() if metric.source == source}


def _recomputed(results: Results, done: Verification, left_out: frozenset[str]) -> Results:
    """Return the results with every value that does not come out again in place of the stored one."""
    stored = values_by_run(results.values)
    rows: list[dict[str, Any]] = []
    shared: dict[tuple[str, int], dict[ValueKey, float]] = {}
    for cell, seed, selection, output, metric, value in agreement_values(results.layout, results.correct):
        shared.setdefault((cell, seed), {})[selection, output, metric] = value
    for run in results.runs:
        values = _by_place(stored.get((run.cell, run.seed), ()))
        if run.finished:
            done.runs += 1
            values = _verify_run(results, run, values, shared.get((run.cell, run.seed), {}), done, left_out)
        elif values:
            done.differs(VALUES, _name(run), f"{len(values)} values", f"none: the run is {run.status}")
        rows += rows_of_run(results.cell(run.cell), run, ((s, e, o, m, v) for (s, o, m), (e, v) in values.items()))
    return replace(results, values=as_table(rows))


def _by_place(values: Iterable[Value]) -> Values:
    """Return values with their epochs by selection, output and metric."""
    return {(selection, output, name): (epoch, value) for selection, epoch, output, name, value in values}


def _name(run: RunEntry) -> str:
    return f"{run.cell} seed {run.seed}"


def _verify_run(
    results: Results,
    run: RunEntry,
    stored: Values,
    shared: Mapping[ValueKey, float],
    done: Verification,
    left_out: frozenset[str],
) -> Values:
    """Compare a finished run with its files; return its values: the stored ones where they come out again.

    Args:
        shared: the values that it has together with other runs, from which examples each got right.
    """
    folder = results.runs_folder / run.folder
    try:
        _check_record(run, folder, done)
        for name, sha256 in run.files.items():
            there = read_run_file(folder, name, sha256) is not None  # raises where the digest is another one
            there |= name == PREDICTIONS and (folder / COMPACT).exists()
            if not there and name not in left_out:
                done.differs(RUNS, _name(run), name, f"{folder.name}/{name}: is not there")
        if run.status == "diverged":
            done.recomputed += 1
            if stored:
                done.differs(VALUES, _name(run), f"{len(stored)} values", "none: the run diverged")
            return {}
        if PREDICTIONS in left_out:
            return stored
        measured = measure_files(
            folder,
            run,
            ece_bins=results.layout.ece_bins,
            stationarity=_stationarity(results),
            mend="its values cannot be computed again",
            left_out=left_out,
        )
    except UserError as error:
        done.differs(RUNS, _name(run), "a sound run", str(error).replace(f"{results.runs_folder.parent}/", ""))
        return stored
    done.recomputed += 1
    now = _by_place(measured.values)
    epochs = {selection: epoch for selection, epoch, *_ in measured.values}
    now |= {key: (epochs.get(key[0]), value) for key, value in shared.items()}
    missing = set().union(*map(_without, left_out))
    now |= {key: value for key, value in stored.items() if key[2] in missing and key not in now}
    for key in dict.fromkeys([*stored, *now]):
        before, after = stored.get(key), now.get(key)
        if before is None or after is None or before[0] != after[0] or not _close(before[1], after[1]):
            done.differs(VALUES, f"{_name(run)} {'.'.join(key)}", _value_text(before), _value_text(after))
        else:
            # Confidences packed in float32 move a value by less than the tolerance, and with it a last written digit.
            now[key] = before
    _compare_arrays(results, run, measured, done)
    return now


def _check_record(run: RunEntry, folder: Path, done: Verification) -> None:
    """Compare the run's record with its entry in the list of runs, and both with the place where they are."""
    record = read_json(folder / RECORD, "run record")
    if record != run.record:
        done.differs(RUNS, f"{_name(run)} record", f"as in {RECORD}", "another one")
    key, seed = run.cell.rpartition(".")[2], run.seed
    named = {"key": key, "seed": seed, "status": run.status, "files": run.files}
    named |= {"reason": run.reason or None, "n_test": run.n_test}
    for name, expected in named.items():
        now = record.get(name) if isinstance(record, dict) else None
        if (now or None) != (expected or None):
            done.differs(f"runs/{run.folder}/{RECORD}", name, expected, now)


def _stationarity(results: Results) -> float:
    """Return the benchmark's bound on norms that count as 0, by the layout."""
    evaluation = results.layout.benchmark.get("evaluation")
    value = evaluation.get("stationarity") if isinstance(evaluation, dict) else None
    if not isinstance(value, float | int) or isinstance(value, bool) or not value > 0:
        raise UserError(f"{LAYOUT}: 'benchmark.evaluation.stationarity' is {value!r:.60}, must be a number above 0")
    return float(value)


def _close(stored: float, now: float) -> bool:
    return math.isclose(stored, now, rel_tol=METRIC_TOLERANCE, abs_tol=METRIC_TOLERANCE)


def _value_text(value: tuple[int | None, float] | None) -> str:
    if value is None:
        return NOTHING
    return f"{value[1]:.12g}" if value[0] is None else f"{value[1]:.12g} of epoch {value[0]}"


def _compare_arrays(results: Results, run: RunEntry, measured: Measured, done: Verification) -> None:
    """Compare which examples a run got right, and its counts."""
    mine = {place[2:]: array for place, array in results.correct.items() if place[:2] == (run.cell, run.seed)}
    for place in dict.fromkeys([*mine, *measured.correct]):
        if not np.array_equal(mine.get(place, ()), measured.correct.get(place, ())):
            done.differs(CORRECT, f"{_name(run)} {'.'.join(place)}", "which examples are right", "others")
    counts = {place[2:]: arrays for place, arrays in results.details.items() if place[:2] == (run.cell, run.seed)}
    for place in dict.fromkeys([*counts, *measured.details]):
        before, after = counts.get(place, {}), measured.details.get(place, {})
        for kind in dict.fromkeys([*before, *after]):
            if not _close_arrays(before.get(kind), after.get(kind)):
                done.differs(DETAILS, f"{_name(run)} {'.'.join(place)} {kind}", "counts", "others")


def _close_arrays(stored: np.ndarray | None, now: np.ndarray | None) -> bool:
    if stored is None or now is None or stored.shape != now.shape:
        return False
    return np.allclose(stored, now, rtol=METRIC_TOLERANCE, atol=METRIC_TOLERANCE, equal_nan=True)


# -- tables and comparisons ----------------------------------------------------------------------------------


def _compare_summary(folder: Path, results: Results, comparisons: Mapping[str, Comparison], done: Verification) -> None:
    """Compare the counts and sentences of the summary; which figures could not be drawn is not asked again."""
    try:
        stored = read_json(folder / SUMMARY, "summary")
    except UserError as error:
        done.differs(SUMMARY, "file", "written with the results", error)
        return
    now = json.loads(json_text(summary(results, list(comparisons.values()))))
    for key, value in now.items():
        if key != "problems" and (not isinstance(stored, dict) or stored.get(key) != value):
            done.differs(SUMMARY, key, stored.get(key) if isinstance(stored, dict) else stored, value)


def _compare_texts(folder: Path, texts: Mapping[str, str], done: Verification, *, exact: bool) -> None:
    """Compare each text with the file that has it.

    Not ``exact``: another version of the source wrote the files and may have put words and marks differently; then
    numbers and verdicts count.
    """
    for name, text in texts.items():
        try:
            stored = read_text(folder / name, "file of results")
        except UserError as error:
            done.differs(name, "file", "written with the results", str(error).partition(": ")[2])
            continue
        done.texts += 1
        if name.endswith(".csv"):
            _compare_csv(name, stored, text, done, exact)
        elif exact:
            for number, (before, after) in enumerate(zip_longest(stored.splitlines(), text.splitlines()), start=1):
                if before != after and _plain(before) != _plain(after):
                    done.differs(name, f"line {number}", repr(before), repr(after))


def _plain(line: str | None) -> str | None:
    """Return a line without what a library adds to align a table: spaces, and the rules below its head."""
    return None if line is None else re.sub(r"[\s\-]{2,}", " ", line)


def _compare_csv(name: str, stored: str, now: str, done: Verification, exact: bool) -> None:
    key = next((columns for end, columns in LINE_NAMES.items() if name.endswith(end)), None)
    key = key or LINES_BELOW.get(name.partition("/")[0], COMPARISON_LINE)
    try:
        before, after = (_by_line(text, name, key) for text in (stored, now))
    except UserError as error:
        done.differs(name, "file", "a table", str(error).partition(": ")[2] or error)
        return
    for line in dict.fromkeys([*before, *after]):
        shown = ".".join(line)
        for old, new in zip_longest(before.get(line, []), after.get(line, [])):
            if old is None or new is None:
                done.differs(name, shown, "a line" if old else "no line", "a line" if new else "no line")
                continue
            for column in dict.fromkeys([*old, *new]):
                if not exact and (column in WORDS or column not in old or column not in new):
                    continue
                if not _same_text(old.get(column, ""), new.get(column, "")):
                    done.differs(name, f"{shown} {column}", repr(old.get(column)), repr(new.get(column)))


def _by_line(text: str, name: str, key: Sequence[str]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in parse_rows(text, name, key):
        found.setdefault(tuple(row[column] for column in key), []).append(row)
    return found


def _same_text(stored: str, now: str) -> bool:
    if stored == now:
        return True
    try:
        return math.isclose(float(stored), float(now), rel_tol=WRITTEN_TOLERANCE, abs_tol=1e-9)
    except ValueError:
        return False
